package state

import "testing"

func TestPause(t *testing.T) {
	pause := func(vs string) Command {
		return Command{Pause: &Pause{VirtualStorage: vs, Until: 5000, Why: "maintenance", By: "operator"}}
	}
	resume := func(vs string) Command { return Command{Resume: &Resume{VirtualStorage: vs, By: "operator"}} }
	for _, r := range []struct {
		name  string
		steps []Command
		want  map[string]bool
		lines int // added to the history of v
	}{
		{"one", []Command{pause("v")}, map[string]bool{"v": true, "other": false}, 1},
		{"all", []Command{pause("")}, map[string]bool{"v": true, "other": true}, 1},
		{"again", []Command{pause("v"), pause("")}, map[string]bool{"v": true, "other": true}, 2},
		{"one of all resumed", []Command{pause(""), resume("v")}, map[string]bool{"v": false, "other": true}, 2},
		{"all resumed", []Command{pause("v"), resume("")}, map[string]bool{"v": false, "other": false}, 2},
		{"resumed without need", []Command{resume("v")}, map[string]bool{"v": false, "other": false}, 0},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := newFixture(t)
			w.must(alpha, Command{Define: &Define{VirtualStorage: "other", Storages: []string{"p"}}})
			epoch, lines := w.VirtualStorage(vs).Epoch, len(w.VirtualStorage(vs).History)
			for _, c := range r.steps {
				w.must(alpha, c)
			}
			for name, want := range r.want {
				paused := w.VirtualStorage(name).Paused
				if (paused != nil) != want {
					t.Errorf("%q: paused is %+v, want %t", name, paused, want)
				}
				if want && *paused != (Pausing{Until: 5000, Why: "maintenance", By: "operator"}) {
					t.Errorf("%q: got %+v", name, paused)
				}
			}
			v := w.VirtualStorage(vs)
			if got := len(v.History) - lines; got != r.lines {
				t.Errorf("%d lines of history, want %d", got, r.lines)
			}
			if v.Epoch != epoch {
				t.Errorf("epoch %d, want %d", v.Epoch, epoch)
			}
		})
	}
	for name, c := range map[string]Command{
		"a time before all":  {Pause: &Pause{Until: -1}},
		"a name with NUL":    {Pause: &Pause{VirtualStorage: "\x00"}},
		"a bad reason":       {Pause: &Pause{Why: "\xff"}},
		"resume by nobody":   {Resume: &Resume{By: "\xff"}},
		"resume of bad name": {Resume: &Resume{VirtualStorage: "\x00"}},
	} {
		t.Run(name, func(t *testing.T) { newFixture(t).refuses(alpha, c, RefusedInvalid) })
	}
	for _, c := range []Command{pause("x"), resume("x")} {
		newFixture(t).refuses(alpha, c, RefusedUnknown)
	}
}

func TestPausing_Active(t *testing.T) {
	for _, r := range []struct {
		pause *Pausing
		now   int64
		want  bool
	}{
		{nil, 0, false},
		{&Pausing{}, 1 << 60, true},
		{&Pausing{Until: 10}, 9, true},
		{&Pausing{Until: 10}, 10, false},
	} {
		if got := r.pause.Active(r.now); got != r.want {
			t.Errorf("%+v at %d: got %t, want %t", r.pause, r.now, got, r.want)
		}
	}
}

func TestVirtualStorage_historyTellsWhoAsked(t *testing.T) {
	w := newFixture(t)
	c := w.fencing(WhySwitchover, "p")
	c.Fence.By = "operator: promote q"
	w.must(alpha, c)
	fence := w.Index
	c = w.admitting("", "p")
	c.Admit.By = "operator: promote q"
	w.must(alpha, c, Command{Pause: &Pause{Why: "maintenance", By: "operator"}})
	h := w.VirtualStorage(vs).History
	for i, want := range []Change{
		{Index: fence, Epoch: 4, Storage: "p", To: Fenced, Why: WhySwitchover, By: "operator: promote q"},
		{Index: fence + 1, Epoch: 5, Storage: "p", To: Serving, Why: "admitted", By: "operator: promote q"},
		{Index: fence + 2, Epoch: 5, What: ChangePaused, Why: "maintenance", By: "operator"},
	} {
		want.Time = int64(want.Index) * 1000
		if got := h[len(h)-3+i]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}
