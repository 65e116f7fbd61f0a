package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func markDoubt(asOf Index, storages ...string) Command {
	c := &MarkDoubt{Key: Key{vs, repo}, Primary: "p", AsOf: asOf}
	for _, s := range storages {
		c.Differences = append(c.Differences, Difference{Storage: s, What: "its references differ"})
	}
	return Command{MarkDoubt: c}
}

func TestMarkDoubt(t *testing.T) {
	now := func(storages ...string) func(*fixture) Command {
		return func(w *fixture) Command { return markDoubt(w.Index, storages...) }
	}
	with := func(change func(*MarkDoubt)) func(*fixture) Command {
		return func(w *fixture) Command {
			c := markDoubt(w.Index, "q")
			change(c.MarkDoubt)
			return c
		}
	}
	opened := given(open(Open))
	runRows(t, []row{
		{name: "one differs", given: opened, do: now("q"), entry: "open(1), in doubt(1) on q"},
		{name: "two differ", given: opened, do: now("r", "q"), entry: "open(1), in doubt(1) on q+r"},
		{name: "the primary is only noted", given: opened, do: now("p"), entry: "open(1)"},
		{name: "the primary and another one", given: opened, do: now("p", "q"), entry: "open(1), in doubt(1) on q"},
		{name: "another one is behind", given: func(w *fixture) { behind(w, "r") }, do: now("q"), entry: "open(1), in doubt(1) on q, behind r"},

		{name: "it is behind", given: func(w *fixture) { behind(w, "q") }, do: now("q"), refused: RefusedChanged},
		{name: "it is out", given: func(w *fixture) { opened(w); w.out("q", WhyDead) }, do: now("q"), refused: RefusedChanged},
		{name: "in doubt already", given: func(w *fixture) { leftInDoubt(w) }, do: now("q"), refused: RefusedBusy},
		{name: "written by another", given: func(w *fixture) { opened(w); w.must(beta, open(Open)) }, do: now("q"), refused: RefusedBusy},
		{name: "changed since", given: opened, do: func(w *fixture) Command { return markDoubt(w.entry().Changed-1, "q") }, refused: RefusedChanged},
		{name: "no intent", do: now("q"), refused: RefusedNoIntent},
		{name: "another primary", given: opened, do: with(func(c *MarkDoubt) { c.Primary = "r" }), refused: RefusedNotPrimary},
		{name: "the primary is fenced", given: func(w *fixture) { opened(w); w.fence("p") }, do: now("q"), refused: RefusedNotPrimary},
		{name: "no such storage", given: opened, do: now("x"), refused: RefusedChanged},
		{name: "nothing", given: opened, do: now(), refused: RefusedInvalid},
		{name: "twice", given: opened, do: now("q", "q"), refused: RefusedInvalid},
		{name: "a long text", given: opened, do: with(func(c *MarkDoubt) { c.Differences[0].What = strings.Repeat("x", conflictText+1) }), refused: RefusedInvalid},
	})
}

// The doubt goes the way of every other: the replica that was not found equal is behind, the
// others stay in sync, and so it stays when the instance that found it closes its intent.
func TestMarkDoubt_isResolved(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open))
	w.must(alpha, markDoubt(w.Index, "q"), closing(false))
	if !w.entry().HasDoubt() || w.entry().HasLive() {
		t.Errorf("after the close: %s", w.entry().String())
	}
	w.must(beta, open(Open))
	w.must(beta, resolveDoubt(w, "p"))
	if e := w.entry(); e.HasDoubt() || !slices.Equal(e.Behind, []string{"q"}) {
		t.Errorf("after it was resolved: %s", e.String())
	}
}

// The history tells of each, and of so many at most: the changes of storages stay in it.
func TestMarkDoubt_isInTheHistory(t *testing.T) {
	w := newFixture(t)
	before := len(w.VirtualStorage(vs).History)
	for i := range 2 * DifferencesKept {
		w.must(alpha, open(Open))
		c := markDoubt(w.Index, "p", "q")
		for j := range c.MarkDoubt.Differences {
			c.MarkDoubt.Differences[j].What = fmt.Sprint("difference ", i)
		}
		w.must(alpha, c)
		w.must(alpha, resolveDoubt(w, "p", "q", "r"))
		if w.entry().IsBehind("q") { // it is a target, and was found equal
			t.Fatalf("%s", w.entry().String())
		}
		w.must(alpha, closing(false))
	}
	h := w.VirtualStorage(vs).History
	if len(h) != before+DifferencesKept {
		t.Fatalf("%d lines, want %d and %d", len(h), before, DifferencesKept)
	}
	last, first := h[len(h)-1], h[before]
	if last.What != ChangeDiffers || last.Storage != "q" || last.RelativePath != repo || last.Why != fmt.Sprint("difference ", 2*DifferencesKept-1) {
		t.Errorf("the last line: %+v", last)
	}
	if want := fmt.Sprint("difference ", 2*DifferencesKept-DifferencesKept/2); first.Why != want {
		t.Errorf("the first line: %+v, want %s", first, want)
	}
}

// drawMarkDoubt draws a finding, mostly one that the ledger does not explain.
func (h *history) drawMarkDoubt(t *rapid.T, by Incarnation) Command {
	c := &MarkDoubt{Key: Key{vs, h.drawWithIntent(t, by)}, AsOf: h.drawAsOf(t), Primary: "p"}
	if p, _ := h.state.PrimaryOf(c.Key); p.Name != "" {
		c.Primary = p.Name
	}
	storages := []string{drawStorage(t)} // which serves more often than several at once
	if rapid.Bool().Draw(t, "several") {
		storages = drawStorages(t)
	}
	for _, s := range storages {
		c.Differences = append(c.Differences, Difference{Storage: s})
	}
	return Command{MarkDoubt: c}
}
