package state

import (
	"strings"
	"testing"
)

func TestRefill(t *testing.T) {
	refill := do(Command{Refill: &Refill{VirtualStorage: vs, Storage: "p", By: "operator"}})
	out := func(why string) func(*fixture) { return func(w *fixture) { w.out("p", why) } }
	runStateRows(t, []stateRow{
		{name: "drained", given: out(WhyDrained), do: refill, want: "q serving, r serving, p backfilling"},
		{name: "dead", given: out(WhyDead), do: refill, want: "q serving, r serving, p backfilling"},
		{name: "backfilling already", given: func(w *fixture) { out(WhyDead)(w); w.must(alpha, reach("p", "new")) }, do: refill,
			want: "q serving, r serving, p backfilling"},
		{name: "serving", do: refill, refused: RefusedState},
		{name: "fenced", given: fenced("p"), do: refill, refused: RefusedState},
		{name: "it alone has a repository", given: func(w *fixture) {
			w.must(alpha, open(Open), markBehind("p"), closing(false))
			w.out("p", WhyDead)
		}, do: refill, refused: RefusedInUse},
		{name: "no such storage", do: do(Command{Refill: &Refill{VirtualStorage: vs, Storage: "x"}}), refused: RefusedUnknown},
		{name: "no such virtual storage", do: do(Command{Refill: &Refill{VirtualStorage: "x", Storage: "p"}}), refused: RefusedUnknown},
		{name: "no storage", do: do(Command{Refill: &Refill{VirtualStorage: vs}}), refused: RefusedInvalid},
	})
}

// A storage that is refilled counts for nothing until it was compared and has everything: an
// entry of the ledger lists it as behind, it does not return by itself, and the history says who.
func TestRefill_countsForNothing(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open), markBehind("p", "q"), closing(false))
	w.out("p", WhyDrained)
	if why := w.WhyNotRefilled(vs, "p"); why != nil {
		t.Fatal(why)
	}
	w.must(alpha, Command{Refill: &Refill{VirtualStorage: vs, Storage: "p", By: "operator: refill p"}})
	p := w.VirtualStorage(vs).Storage("p")
	if p.Uncompared != UncomparedLater || !w.entry().IsBehind("p") {
		t.Errorf("got %+v, behind %q", *p, w.entry().Behind)
	}
	since := p.Since
	w.must(alpha, reach("p", "disk-p"))
	if got := w.VirtualStorage(vs).Storage("p"); got.State != Backfilling || got.Since != since {
		t.Errorf("after it was reached: %+v", *got)
	}
	if r := w.try(alpha, Command{Rejoin: &Rejoin{VirtualStorage: vs, Storage: "p", FilesystemID: "disk-p", Backfilled: since}}); r.Refusal == nil {
		t.Error("it serves without a comparison")
	}
	history := w.VirtualStorage(vs).History
	if last := history[len(history)-1]; last.To != Backfilling || last.Why != "refill" || !strings.Contains(last.By, "refill p") {
		t.Errorf("history: %+v", last)
	}
}
