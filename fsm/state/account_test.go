package state

import (
	"slices"
	"testing"
)

func deleting(d DeletedChange, primary string, agreeing ...string) Command {
	c := wrote(primary, agreeing...)
	c.Wrote.Deleted = d
	return c
}

// behind makes the storages behind for the repository, under alpha's mark.
func behind(w *world, names ...string) {
	w.must(alpha, open(Open))
	var agreeing []string
	for _, s := range w.VirtualStorage(vs).Succession[1:] {
		if !slices.Contains(names, s.Name) {
			agreeing = append(agreeing, s.Name)
		}
	}
	w.must(alpha, wrote(w.VirtualStorage(vs).Succession[0].Name, agreeing...))
}

func TestWrote(t *testing.T) {
	at := func(epoch uint64, c Command) func(*world) Command {
		c.Wrote.Epoch = epoch
		return do(c)
	}
	marked := given(open(Open))
	runRows(t, []row{
		{name: "all agree", given: marked, do: do(wrote("p", "q", "r")), entry: "open(1)"},
		{name: "the others are behind", given: marked, do: do(wrote("p", "q")), entry: "open(1), behind r"},
		{name: "in eventual mode all others", given: given(open(Solo)), do: do(wrote("p")),
			entry: "solo(1), behind q+r"},
		{name: "one that was behind does not agree", given: func(w *world) { behind(w, "r") },
			do: do(wrote("p", "q", "r")), entry: "open(1), behind r"},
		{name: "one that is out does not agree", given: func(w *world) { marked(w); w.out("q", WhyDead) },
			do: do(wrote("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a fenced one does not agree", given: func(w *world) { marked(w); w.fence("q") },
			do: do(wrote("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a filling one does not agree", given: func(w *world) { marked(w); w.must(alpha, reach("q", "new")) },
			do: do(wrote("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a removed one has nothing to account for",
			given: func(w *world) { marked(w); w.must(alpha, define("p", "q")) },
			do:    do(wrote("p", "r")), entry: "open(1), behind q"},
		{name: "the successor leads while the first is behind",
			given: func(w *world) { w.out("p", WhyDead); behindOut(w) },
			do:    do(wrote("q", "r")), entry: "open(1), behind p"},
		{name: "a delete", given: marked, do: do(deleting(DeletedSet, "p", "q")), entry: "open(1), behind r, deleted"},
		{name: "keeps deleted", given: given(open(Open), deleting(DeletedSet, "p", "q")), do: do(wrote("p", "q")),
			entry: "open(1), behind r, deleted"},
		{name: "a create", given: given(open(Open), deleting(DeletedSet, "p", "q")),
			do: do(deleting(DeletedClear, "p", "q")), entry: "open(1), behind r"},
		{name: "a fence before the write's epoch", given: func(w *world) {
			marked(w)
			w.roundTrip()
		}, do: func(w *world) Command { return at(w.VirtualStorage(vs).Epoch, wrote("p"))(w) },
			entry: "open(1), behind q+r"},

		{name: "a fence after the write's epoch", given: func(w *world) {
			marked(w)
			w.roundTrip()
		}, do: do(wrote("p")), refused: RefusedNotPrimary},
		{name: "not the primary", given: marked, do: do(wrote("q", "p")), refused: RefusedNotPrimary},
		{name: "no storage", given: marked, do: do(wrote("x")), refused: RefusedNotPrimary},
		{name: "the primary is fenced", given: func(w *world) { marked(w); w.fence("p") },
			do: do(wrote("p")), refused: RefusedNotPrimary},
		{name: "a fenced primary keeps its place", given: func(w *world) { marked(w); w.fence("p") },
			do: do(wrote("q")), refused: RefusedNotPrimary},
		{name: "without a mark", do: do(wrote("p")), refused: RefusedNoMark},
		{name: "with another's mark", given: marked, by: beta, do: do(wrote("p")), refused: RefusedNoMark},
		{name: "with a dirty mark", given: given(open(Open), closing(true)), do: do(wrote("p")), refused: RefusedNoMark},
		{name: "all or nothing", given: marked, do: do(paths(wrote("p"), repo, "b.git")), refused: RefusedNoMark},
		{name: "epoch to come", given: marked, do: at(100, wrote("p")), refused: RefusedInvalid},
		{name: "the primary does not agree", given: marked, do: func(*world) Command {
			c := wrote("p")
			c.Wrote.Agreeing = []string{"q"}
			return c
		}, refused: RefusedInvalid},
		{name: "agrees twice", given: marked, do: do(wrote("p", "q", "q")), refused: RefusedInvalid},
		{name: "no change of deleted", given: marked, do: do(deleting("maybe", "p")), refused: RefusedInvalid},
		{name: "no such virtual storage", do: func(*world) Command {
			c := wrote("p")
			c.Wrote.VirtualStorage = "other"
			return c
		}, refused: RefusedUnknown},
	})
}

// behindOut has a write without p, which is out.
func behindOut(w *world) {
	w.must(alpha, open(Open))
	w.must(alpha, wrote("q", "r"))
}

func TestWrote_refusedForOnePathChangesNone(t *testing.T) {
	w := newWorld(t)
	w.must(alpha, paths(open(Open), repo, "pool.git"))
	w.out("p", WhyDead)
	w.must(alpha, paths(wrote("q", "r"), "pool.git")) // p is behind for the pool only
	w.must(alpha, reach("p", "disk-p"))
	w.switchover("q", "r") // so that p is the first again
	before := w.entry().String()
	r := w.try(alpha, paths(wrote("q", "r"), "pool.git", repo))
	if r.Refusal == nil || r.Refusal.Reason != RefusedNotPrimary {
		t.Fatalf("got %v, want refused (%s)", r.Refusal, RefusedNotPrimary)
	}
	if got := w.entry().String(); got != before {
		t.Errorf("got %q, want %q", got, before)
	}
}
