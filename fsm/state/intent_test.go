package state

import "testing"

func given(steps ...Command) func(*fixture) {
	return func(w *fixture) { w.must(alpha, steps...) }
}

func do(c Command) func(*fixture) Command { return func(*fixture) Command { return c } }

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
	case c.MarkBehind != nil:
		c.MarkBehind.Paths = paths
	}
	return c
}

func TestOpenIntent(t *testing.T) {
	elsewhere := open(Open)
	elsewhere.Open.VirtualStorage = "other"
	runRows(t, []row{
		{name: "on a clean repository", do: do(open(Open, "q", "p")), entry: "open(1) on p+q"},
		{name: "by another incarnation", given: given(open(Open)), by: beta, do: do(open(PrimaryOnly)),
			entry: "open(1), primary-only(2)"},
		{name: "primary-only wins over open", given: given(open(Open)), do: do(open(PrimaryOnly)), entry: "primary-only(1)"},
		{name: "open never wins over primary-only", given: given(open(PrimaryOnly)), do: do(open(Open)), entry: "primary-only(1)"},
		{name: "widens to cover both", given: given(scoped(500, true, "p", "r")), do: do(scoped(100, false, "q", "p")),
			entry: "open(1) 500ms on p+q+r"},
		{name: "refs only while all are", given: given(scoped(1, true)), do: do(scoped(2, true)),
			entry: "open(1) 2ms refs"},
		{name: "starts afresh over an in-doubt intent", given: given(scoped(500, false, "p"), closing(true)),
			do: do(scoped(100, true, "q")), entry: "open(1) 100ms refs on q, in doubt(1) 500ms on p"},
		{name: "backfilling storages become behind", given: func(w *fixture) { w.must(alpha, reach("r", "new")) },
			do: do(open(Open)), entry: "open(1), behind r"},
		{name: "those that are out do not", given: func(w *fixture) { w.out("r", WhyDead) },
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
		{name: "leaves a clean repository", given: given(open(Open)), do: do(closing(false)), entry: "clean"},
		{name: "leaves what is behind", given: given(open(Open), markBehind("p")), do: do(closing(false)),
			entry: "behind q+r"},
		{name: "deleted alone does not keep an entry", given: given(open(Open), deleting(DeletedSet, "p", "q", "r")),
			do: do(closing(false)), entry: "clean"},
		{name: "in doubt keeps the scope", given: given(scoped(500, true, "p", "q")), do: do(closing(true)),
			entry: "in doubt(1) 500ms refs on p+q"},
		{name: "in doubt again covers both", given: given(scoped(500, true, "p"), closing(true), scoped(100, false, "q")),
			do: do(closing(true)), entry: "in doubt(1) 500ms on p+q"},
		{name: "clean leaves the in-doubt intent", given: given(scoped(500, true, "p"), closing(true), scoped(100, false, "q")),
			do: do(closing(false)), entry: "in doubt(1) 500ms refs on p"},
		{name: "leaves another's intent", given: func(w *fixture) { w.must(alpha, open(Open)); w.must(beta, open(PrimaryOnly)) },
			do: do(closing(false)), entry: "primary-only(2)"},
		{name: "without an intent", do: do(closing(false)), refused: RefusedNoIntent},
		{name: "with another's intent only", given: given(open(Open)), by: beta, do: do(closing(false)),
			refused: RefusedNoIntent},
		{name: "with an in-doubt intent only", given: given(open(Open), closing(true)), do: do(closing(true)),
			refused: RefusedNoIntent},
		{name: "all or nothing", given: given(open(Open)), do: do(paths(closing(false), repo, "b.git")),
			refused: RefusedNoIntent},
		{name: "no such virtual storage", do: do(elsewhere), refused: RefusedUnknown},
		{name: "no path", do: do(paths(closing(false))), refused: RefusedInvalid},
	})
}

func TestClose_namesTheDoubtByItsLastIndex(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open))
	first := w.must(alpha, closing(true)).Index
	if got := w.entry().Intents[0].InDoubt.At; got != first {
		t.Errorf("in doubt at %d, want %d", got, first)
	}
	w.must(alpha, open(Open), closing(false))
	if got := w.entry().Intents[0].InDoubt.At; got != first {
		t.Errorf("in doubt at %d after a clean close, want %d", got, first)
	}
	w.must(alpha, open(Open))
	second := w.must(alpha, closing(true)).Index
	if got := w.entry().Intents[0].InDoubt.At; got != second {
		t.Errorf("in doubt at %d after a second in doubt close, want %d", got, second)
	}
}

func TestOpenIntent_twoRepositoriesInOneCommand(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, paths(open(Open), repo, "pool.git"), paths(markBehind("p", "q"), repo, "pool.git"))
	for _, path := range []string{repo, "pool.git"} {
		if got, want := w.Entry(Key{vs, path}).String(), "open(1), behind r"; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// TestDefine_aNameUsedAgain: a copy that may still come onto a storage keeps it for a target, also
// when the storage is removed and added again.
func TestDefine_aNameUsedAgain(t *testing.T) {
	for name, end := range map[string]func(w *fixture){
		"in doubt before":      func(w *fixture) { w.must(beta, closing(true)) },
		"in doubt after":       nil,
		"in doubt by its name": nil,
	} {
		w := newFixture(t)
		w.must(beta, scoped(3600_000, false, "r"))
		if end != nil {
			end(w)
		}
		w.must(alpha, define("p", "q"), define("p", "q", "r"))
		switch name {
		case "in doubt after":
			w.must(alpha, Command{Retire: &Retire{Incarnation: beta, Proof: ProofOperator}})
		case "in doubt by its name":
			c := closing(true)
			c.Close.Doubt = &Scope{BoundMillis: 3600_000, Targets: []string{"r"}}
			w.must(beta, c)
		}
		if got, want := w.entry().String(), "in doubt(2) 3600000ms on r, behind r"; got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
