package state

import "testing"

func TestDrain(t *testing.T) {
	drain := do(Command{Drain: &Drain{VirtualStorage: vs, Storage: "p", By: "operator"}})
	out := func(why string) func(*fixture) { return func(w *fixture) { w.out("p", why) } }
	runStateRows(t, []stateRow{
		{name: "dead", given: out(WhyDead), do: drain, want: "q serving, r serving, p out (drained)"},
		{name: "drained", given: out(WhyDrained), do: drain, refused: RefusedState},
		{name: "serving", do: drain, refused: RefusedState},
		{name: "fenced", given: fenced("p"), do: drain, refused: RefusedState},
		{name: "backfilling", given: func(w *fixture) { out(WhyDead)(w); w.must(alpha, reach("p", "new")) }, do: drain,
			refused: RefusedState},
		{name: "no such storage", do: do(Command{Drain: &Drain{VirtualStorage: vs, Storage: "x"}}), refused: RefusedUnknown},
		{name: "no such virtual storage", do: do(Command{Drain: &Drain{VirtualStorage: "x", Storage: "p"}}),
			refused: RefusedUnknown},
		{name: "no storage", do: do(Command{Drain: &Drain{VirtualStorage: vs}}), refused: RefusedInvalid},
	})
}

func TestUndrain(t *testing.T) {
	undrain := do(Command{Undrain: &Undrain{VirtualStorage: vs, Storage: "p", By: "operator"}})
	out := func(why string) func(*fixture) { return func(w *fixture) { w.out("p", why) } }
	runStateRows(t, []stateRow{
		{name: "drained", given: out(WhyDrained), do: undrain, want: "q serving, r serving, p out (dead)"},
		{name: "dead", given: out(WhyDead), do: undrain, refused: RefusedState},
		{name: "serving", do: undrain, refused: RefusedState},
		{name: "fenced to be drained", given: func(w *fixture) { w.must(alpha, w.fencing(WhyDrained, "p")) }, do: undrain,
			refused: RefusedState},
		{name: "no such storage", do: do(Command{Undrain: &Undrain{VirtualStorage: vs, Storage: "x"}}), refused: RefusedUnknown},
		{name: "no such virtual storage", do: do(Command{Undrain: &Undrain{VirtualStorage: "x", Storage: "p"}}),
			refused: RefusedUnknown},
		{name: "no virtual storage", do: do(Command{Undrain: &Undrain{Storage: "p"}}), refused: RefusedInvalid},
	})
}

func TestUndrain_letsTheStorageRejoin(t *testing.T) {
	w := newFixture(t)
	w.out("p", WhyDrained)
	epoch, since := w.VirtualStorage(vs).Epoch, w.VirtualStorage(vs).Storage("p").Since
	w.refuses(alpha, reach("p", "disk-p"), RefusedDrained)
	w.must(alpha, Command{Undrain: &Undrain{VirtualStorage: vs, Storage: "p"}})
	v := w.VirtualStorage(vs)
	if got := v.Storage("p").Since; v.Epoch != epoch || got != since {
		t.Errorf("undrained: epoch %d, out since %d, want %d and %d", v.Epoch, got, epoch, since)
	}
	w.must(alpha, reach("p", "disk-p"))
	if got, want := w.succession(), "q serving, r serving, p serving"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
