package state

import (
	"slices"
	"testing"
)

func deleting(d DeletedChange, primary string, agreeing ...string) Command {
	c := markBehind(primary, agreeing...)
	c.MarkBehind.Deleted = d
	return c
}

// behind makes the storages behind for the repository, under alpha's intent.
func behind(w *fixture, names ...string) {
	w.must(alpha, open(Open))
	var agreeing []string
	for _, s := range w.VirtualStorage(vs).Succession[1:] {
		if !slices.Contains(names, s.Name) {
			agreeing = append(agreeing, s.Name)
		}
	}
	w.must(alpha, markBehind(w.VirtualStorage(vs).Succession[0].Name, agreeing...))
}

func TestMarkBehind(t *testing.T) {
	at := func(epoch uint64, c Command) func(*fixture) Command {
		c.MarkBehind.Epoch = epoch
		return do(c)
	}
	marked := given(open(Open))
	runRows(t, []row{
		{name: "all agree", given: marked, do: do(markBehind("p", "q", "r")), entry: "open(1)"},
		{name: "the others are behind", given: marked, do: do(markBehind("p", "q")), entry: "open(1), behind r"},
		{name: "in eventual mode all others", given: given(open(PrimaryOnly)), do: do(markBehind("p")),
			entry: "primary-only(1), behind q+r"},
		{name: "one that was behind does not agree", given: func(w *fixture) { behind(w, "r") },
			do: do(markBehind("p", "q", "r")), entry: "open(1), behind r"},
		{name: "one that is out does not agree", given: func(w *fixture) { marked(w); w.out("q", WhyDead) },
			do: do(markBehind("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a fenced one does not agree", given: func(w *fixture) { marked(w); w.fence("q") },
			do: do(markBehind("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a backfilling one does not agree", given: func(w *fixture) { marked(w); w.must(alpha, reach("q", "new")) },
			do: do(markBehind("p", "q", "r")), entry: "open(1), behind q"},
		{name: "a removed one has nothing to account for",
			given: func(w *fixture) { marked(w); w.must(alpha, define("p", "q")) },
			do:    do(markBehind("p", "r")), entry: "open(1), behind q"},
		{name: "the successor leads while the first is behind",
			given: func(w *fixture) { w.out("p", WhyDead); behindOut(w) },
			do:    do(markBehind("q", "r")), entry: "open(1), behind p"},
		{name: "a delete", given: marked, do: do(deleting(DeletedSet, "p", "q")), entry: "open(1), behind r, deleted"},
		{name: "keeps deleted", given: given(open(Open), deleting(DeletedSet, "p", "q")), do: do(markBehind("p", "q")),
			entry: "open(1), behind r, deleted"},
		{name: "a create", given: given(open(Open), deleting(DeletedSet, "p", "q")),
			do: do(deleting(DeletedClear, "p", "q")), entry: "open(1), behind r"},
		{name: "a fence before the write's epoch", given: func(w *fixture) {
			marked(w)
			w.roundTrip()
		}, do: func(w *fixture) Command { return at(w.VirtualStorage(vs).Epoch, markBehind("p"))(w) },
			entry: "open(1), behind q+r"},

		{name: "a fence after the write's epoch", given: func(w *fixture) {
			marked(w)
			w.roundTrip()
		}, do: do(markBehind("p")), refused: RefusedNotPrimary},
		{name: "not the primary", given: marked, do: do(markBehind("q", "p")), refused: RefusedNotPrimary},
		{name: "no storage", given: marked, do: do(markBehind("x")), refused: RefusedNotPrimary},
		{name: "the primary is fenced", given: func(w *fixture) { marked(w); w.fence("p") },
			do: do(markBehind("p")), refused: RefusedNotPrimary},
		{name: "a fenced primary keeps its place", given: func(w *fixture) { marked(w); w.fence("p") },
			do: do(markBehind("q")), refused: RefusedNotPrimary},
		{name: "without an intent", do: do(markBehind("p")), refused: RefusedNoIntent},
		{name: "with another's intent", given: marked, by: beta, do: do(markBehind("p")), refused: RefusedNoIntent},
		{name: "with an in-doubt intent", given: given(open(Open), closing(true)), do: do(markBehind("p")), refused: RefusedNoIntent},
		{name: "all or nothing", given: marked, do: do(paths(markBehind("p"), repo, "b.git")), refused: RefusedNoIntent},
		{name: "epoch to come", given: marked, do: at(100, markBehind("p")), refused: RefusedInvalid},
		{name: "the primary does not agree", given: marked, do: func(*fixture) Command {
			c := markBehind("p")
			c.MarkBehind.Agreeing = []string{"q"}
			return c
		}, refused: RefusedInvalid},
		{name: "agrees twice", given: marked, do: do(markBehind("p", "q", "q")), refused: RefusedInvalid},
		{name: "no change of deleted", given: marked, do: do(deleting("maybe", "p")), refused: RefusedInvalid},
		{name: "no such virtual storage", do: func(*fixture) Command {
			c := markBehind("p")
			c.MarkBehind.VirtualStorage = "other"
			return c
		}, refused: RefusedUnknown},
	})
}

// behindOut has a write without p, which is out.
func behindOut(w *fixture) {
	w.must(alpha, open(Open), markBehind("q", "r"))
}

func TestMarkBehind_refusedForOnePathChangesNone(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, paths(open(Open), repo, "pool.git"))
	w.out("p", WhyDead)
	w.must(alpha, paths(markBehind("q", "r"), "pool.git")) // p is behind for the pool only
	w.must(alpha, reach("p", "disk-p"))
	w.switchover("q", "r") // so that p is the first again
	before := w.entry().String()
	r := w.try(alpha, paths(markBehind("q", "r"), "pool.git", repo))
	if r.Refusal == nil || r.Refusal.Reason != RefusedNotPrimary {
		t.Fatalf("got %v, want refused (%s)", r.Refusal, RefusedNotPrimary)
	}
	if got := w.entry().String(); got != before {
		t.Errorf("got %q, want %q", got, before)
	}
}
