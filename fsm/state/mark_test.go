package state

import "testing"

func given(steps ...Command) func(*world) {
	return func(w *world) {
		for _, c := range steps {
			w.must(alpha, c)
		}
	}
}

func do(c Command) func(*world) Command { return func(*world) Command { return c } }

func scoped(bound int64, refs bool, targets ...string) Command {
	c := open(Open, targets...)
	c.Open.BoundMillis, c.Open.RefsOnly = bound, refs
	return c
}

func paths(c Command, paths ...string) Command {
	switch {
	case c.Open != nil:
		c.Open.Paths = paths
	case c.Close != nil:
		c.Close.Paths = paths
	case c.Wrote != nil:
		c.Wrote.Paths = paths
	}
	return c
}

func TestOpenMark(t *testing.T) {
	elsewhere := open(Open)
	elsewhere.Open.VirtualStorage = "other"
	runRows(t, []row{
		{name: "on an ordinary repository", do: do(open(Open, "q", "p")), entry: "open(1) on p+q"},
		{name: "by another incarnation", given: given(open(Open)), by: beta, do: do(open(Solo)),
			entry: "open(1), solo(2)"},
		{name: "solo wins over open", given: given(open(Open)), do: do(open(Solo)), entry: "solo(1)"},
		{name: "open never wins over solo", given: given(open(Solo)), do: do(open(Open)), entry: "solo(1)"},
		{name: "widens to cover both", given: given(scoped(500, true, "p", "r")), do: do(scoped(100, false, "q", "p")),
			entry: "open(1) 500ms on p+q+r"},
		{name: "refs only while all are", given: given(scoped(1, true)), do: do(scoped(2, true)),
			entry: "open(1) 2ms refs"},
		{name: "starts afresh over a dirty mark", given: given(scoped(500, false, "p"), closing(true)),
			do: do(scoped(100, true, "q")), entry: "open(1) 100ms refs on q, dirty(1) 500ms on p"},
		{name: "filling storages become behind", given: func(w *world) { w.must(alpha, reach("r", "new")) },
			do: do(open(Open)), entry: "open(1), behind r"},
		{name: "those that are out do not", given: func(w *world) { w.out("r", WhyDead) },
			do: do(open(Open)), entry: "open(1)"},
		{name: "no such virtual storage", do: do(elsewhere), refused: RefusedUnknown},
		{name: "no such target", do: do(open(Open, "x")), refused: RefusedUnknown},
		{name: "no kind", do: do(open("")), refused: RefusedInvalid},
		{name: "negative bound", do: do(scoped(-1, true)), refused: RefusedInvalid},
		{name: "target twice", do: do(open(Open, "p", "p")), refused: RefusedInvalid},
		{name: "no path", do: do(paths(open(Open))), refused: RefusedInvalid},
		{name: "empty path", do: do(paths(open(Open), "")), refused: RefusedInvalid},
		{name: "path twice", do: do(paths(open(Open), repo, "b.git", repo)), refused: RefusedInvalid},
		{name: "path with NUL", do: do(paths(open(Open), "a\x00b")), refused: RefusedInvalid},
		{name: "path that is not UTF-8", do: do(paths(open(Open), "a\xff")), refused: RefusedInvalid},
	})
}

func TestClose(t *testing.T) {
	elsewhere := closing(false)
	elsewhere.Close.VirtualStorage = "other"
	runRows(t, []row{
		{name: "leaves an ordinary repository", given: given(open(Open)), do: do(closing(false)), entry: "ordinary"},
		{name: "leaves what is behind", given: given(open(Open), wrote("p")), do: do(closing(false)),
			entry: "behind q+r"},
		{name: "deleted alone does not keep an entry", given: given(open(Open), deleting(DeletedSet, "p", "q", "r")),
			do: do(closing(false)), entry: "ordinary"},
		{name: "dirty keeps the scope", given: given(scoped(500, true, "p", "q")), do: do(closing(true)),
			entry: "dirty(1) 500ms refs on p+q"},
		{name: "dirty again covers both", given: given(scoped(500, true, "p"), closing(true), scoped(100, false, "q")),
			do: do(closing(true)), entry: "dirty(1) 500ms on p+q"},
		{name: "clean leaves the dirty mark", given: given(scoped(500, true, "p"), closing(true), scoped(100, false, "q")),
			do: do(closing(false)), entry: "dirty(1) 500ms refs on p"},
		{name: "leaves another's mark", given: func(w *world) { w.must(alpha, open(Open)); w.must(beta, open(Solo)) },
			do: do(closing(false)), entry: "solo(2)"},
		{name: "without a mark", do: do(closing(false)), refused: RefusedNoMark},
		{name: "with another's mark only", given: given(open(Open)), by: beta, do: do(closing(false)),
			refused: RefusedNoMark},
		{name: "with a dirty mark only", given: given(open(Open), closing(true)), do: do(closing(true)),
			refused: RefusedNoMark},
		{name: "all or nothing", given: given(open(Open)), do: do(paths(closing(false), repo, "b.git")),
			refused: RefusedNoMark},
		{name: "no such virtual storage", do: do(elsewhere), refused: RefusedUnknown},
		{name: "no path", do: do(paths(closing(false))), refused: RefusedInvalid},
	})
}

func TestClose_namesTheDirtyMarkByItsLastIndex(t *testing.T) {
	w := newWorld(t)
	w.must(alpha, open(Open))
	first := w.must(alpha, closing(true)).Index
	if got := w.entry().Marks[0].Dirty.At; got != first {
		t.Errorf("dirty at %d, want %d", got, first)
	}
	w.must(alpha, open(Open))
	w.must(alpha, closing(false))
	if got := w.entry().Marks[0].Dirty.At; got != first {
		t.Errorf("dirty at %d after a clean close, want %d", got, first)
	}
	w.must(alpha, open(Open))
	second := w.must(alpha, closing(true)).Index
	if got := w.entry().Marks[0].Dirty.At; got != second {
		t.Errorf("dirty at %d after a second dirty close, want %d", got, second)
	}
}

func TestOpenMark_twoRepositoriesInOneCommand(t *testing.T) {
	w := newWorld(t)
	w.must(alpha, paths(open(Open), repo, "pool.git"))
	w.must(alpha, paths(wrote("p", "q"), repo, "pool.git"))
	for _, path := range []string{repo, "pool.git"} {
		if got, want := w.Entry(Key{vs, path}).String(), "open(1), behind r"; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
