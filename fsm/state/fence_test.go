package state

import "testing"

// fenced is given a fence.
func fenced(names ...string) func(*fixture) { return func(w *fixture) { w.fence(names...) } }

func TestFence(t *testing.T) {
	as := func(why string, names ...string) func(*fixture) Command {
		return func(w *fixture) Command { return w.fencing(why, names...) }
	}
	with := func(change func(*Fence)) func(*fixture) Command {
		return func(w *fixture) Command {
			c := w.fencing(WhyDead, "p")
			change(c.Fence)
			return c
		}
	}
	runStateRows(t, []stateRow{
		{name: "the primary keeps its place", do: as(WhyDead, "p"), want: "p fenced (dead), q serving, r serving"},
		{name: "a secondary", do: as(WhyDrained, "q"), want: "p serving, q fenced (drained), r serving"},
		{name: "several at once", do: as(WhySwitchover, "q", "p"),
			want: "p fenced (switchover), q fenced (switchover), r serving"},
		{name: "beside another", given: fenced("q"), do: as(WhyDead, "p"),
			want: "p fenced (dead), q fenced (dead), r serving"},
		{name: "intents that target it stay", given: given(open(Open, "p", "q"), markBehind("p", "q"), closing(true), open(PrimaryOnly, "p")),
			do: as(WhyDead, "p"), want: "p fenced (dead), q serving, r serving",
			entry: "primary-only(1) on p, in doubt(1) on p+q, behind r"},

		{name: "the last that serves", given: fenced("p", "q"), do: as(WhyDead, "r"), refused: RefusedLast},
		{name: "all that serve", do: as(WhySwitchover, "p", "q", "r"), refused: RefusedLast},
		{name: "the last but one that is backfilling", given: func(w *fixture) { w.out("r", WhyDead); w.must(alpha, reach("q", "new")) },
			do: as(WhyDead, "p"), refused: RefusedLast},
		{name: "one that is fenced", given: fenced("p"), do: as(WhyDead, "p"), refused: RefusedState},
		{name: "one that is out", given: func(w *fixture) { w.out("p", WhyDead) }, do: as(WhyDead, "p"), refused: RefusedState},
		{name: "one that is backfilling", given: func(w *fixture) { w.must(alpha, reach("q", "new")) }, do: as(WhyDead, "q"),
			refused: RefusedState},
		{name: "one of two that is fenced", given: fenced("p"), do: as(WhyDead, "q", "p"), refused: RefusedState},
		{name: "no such storage", do: as(WhyDead, "p", "x"), refused: RefusedUnknown},
		{name: "no such virtual storage", do: with(func(c *Fence) { c.VirtualStorage = "other" }), refused: RefusedUnknown},
		{name: "decided before the last change", do: with(func(c *Fence) { c.Epoch-- }), refused: RefusedEpoch},
		{name: "at an epoch to come", do: with(func(c *Fence) { c.Epoch++ }), refused: RefusedEpoch},
		{name: "for no reason", do: as("", "p"), refused: RefusedInvalid},
		{name: "nothing", do: as(WhyDead), refused: RefusedInvalid},
		{name: "one twice", do: as(WhyDead, "p", "p"), refused: RefusedInvalid},
		{name: "asked for in no UTF-8", do: with(func(c *Fence) { c.By = "\xff" }), refused: RefusedInvalid},
	})
}

func TestFence_raisesTheEpochOnce(t *testing.T) {
	w := newFixture(t)
	epoch := w.VirtualStorage(vs).Epoch
	w.fence("p", "q")
	for _, s := range w.VirtualStorage(vs).Fenced() {
		if s.FencedEpoch != epoch+1 || s.Since != w.Index || s.Why != WhyDead {
			t.Errorf("%+v, want fenced at epoch %d since index %d", s, epoch+1, w.Index)
		}
	}
	if got := w.VirtualStorage(vs).Epoch; got != epoch+1 {
		t.Errorf("fenced: epoch %d, want %d", got, epoch+1)
	}
	w.admit(WhyDead, "p", "q")
	if got := w.VirtualStorage(vs).Epoch; got != epoch+2 {
		t.Errorf("admitted: epoch %d, want %d", got, epoch+2)
	}
	if fenced := w.VirtualStorage(vs).Fenced(); fenced != nil {
		t.Errorf("still fenced: %+v", fenced)
	}
}

// TestFence_holdsWrites is the order of a failover as its writers see it.
func TestFence_holdsWrites(t *testing.T) {
	w := newFixture(t)
	primary := func(want string) {
		t.Helper()
		got, ok := w.PrimaryOf(Key{vs, repo})
		if !ok {
			got.Name = "none"
		}
		if got.Name != want {
			t.Errorf("the primary is %q, want %q", got.Name, want)
		}
	}
	primary("p")
	w.fence("p")
	primary("none")
	w.admit(WhyDead, "p")
	primary("q")
	w.must(alpha, reach("p", "disk-p"))
	primary("q") // a storage that returns takes nothing back
}

func TestAdmit(t *testing.T) {
	as := func(why string, names ...string) func(*fixture) Command {
		return func(w *fixture) Command { return w.admitting(why, names...) }
	}
	with := func(change func(*Admit)) func(*fixture) Command {
		return func(w *fixture) Command {
			c := w.admitting("", "p")
			change(c.Admit)
			return c
		}
	}
	busy := func(w *fixture) {
		w.must(alpha, open(Open))
		w.fence("p")
	}
	runStateRows(t, []stateRow{
		{name: "dead", given: fenced("p"), do: as(WhyDead, "p"), want: "q serving, r serving, p out (dead)"},
		{name: "drained", given: fenced("p"), do: as(WhyDrained, "p"), want: "q serving, r serving, p out (drained)"},
		{name: "serving", given: fenced("p"), do: as("", "p"), want: "q serving, r serving, p serving"},
		{name: "a secondary", given: fenced("q"), do: as(WhyDead, "q"), want: "p serving, r serving, q out (dead)"},
		{name: "one of two", given: fenced("p", "q"), do: as("", "q"), want: "p fenced (dead), r serving, q serving"},
		{name: "in the order given", given: fenced("p", "q"), do: as("", "q", "p"), want: "r serving, q serving, p serving"},
		{name: "each its own way", given: fenced("p", "q"), do: func(w *fixture) Command {
			c := w.admitting(WhyDrained, "p")
			c.Admit.Storages = append(c.Admit.Storages, Admission{Storage: "q", As: Serving, FilesystemID: "disk-q"})
			return c
		}, want: "r serving, p out (drained), q serving"},
		{name: "serving, with another disk", given: busy, do: with(func(c *Admit) { c.Storages[0].FilesystemID = "new" }),
			want: "q serving, r serving, p backfilling", entry: "open(1), behind p"},
		{name: "dead, whatever its disk", given: busy, do: with(func(c *Admit) {
			c.Storages[0] = Admission{Storage: "p", As: Out, Why: WhyDead, FilesystemID: "new"}
		}), want: "q serving, r serving, p out (dead)", entry: "open(1)"},

		{name: "one that serves", do: as("", "p"), refused: RefusedState},
		{name: "one of two that serves", given: fenced("p"), do: as("", "p", "q"), refused: RefusedState},
		{name: "one that is out", given: func(w *fixture) { w.out("p", WhyDead) }, do: as("", "p"), refused: RefusedState},
		{name: "one that was removed", given: func(w *fixture) { w.out("p", WhyDead); w.must(alpha, define("q", "r")) },
			do: func(w *fixture) Command {
				return Command{Admit: &Admit{VirtualStorage: vs, Epoch: w.VirtualStorage(vs).Epoch,
					Storages: []Admission{{Storage: "p", As: Out, Why: WhyDead}}}}
			}, refused: RefusedUnknown},
		{name: "no such virtual storage", given: fenced("p"), do: with(func(c *Admit) { c.VirtualStorage = "other" }),
			refused: RefusedUnknown},
		{name: "decided before the last change", given: fenced("p"), do: with(func(c *Admit) { c.Epoch-- }), refused: RefusedEpoch},
		{name: "as backfilling", given: fenced("p"), do: with(func(c *Admit) { c.Storages[0].As = Backfilling }), refused: RefusedInvalid},
		{name: "out after a switchover", given: fenced("p"), do: as(WhySwitchover, "p"), refused: RefusedInvalid},
		{name: "out for no reason", given: fenced("p"), do: with(func(c *Admit) { c.Storages[0].As = Out }), refused: RefusedInvalid},
		{name: "serving on no disk", given: fenced("p"), do: with(func(c *Admit) { c.Storages[0].FilesystemID = "" }),
			refused: RefusedInvalid},
		{name: "nothing", given: fenced("p"), do: with(func(c *Admit) { c.Storages = nil }), refused: RefusedInvalid},
		{name: "one twice", given: fenced("p"), do: as("", "p", "p"), refused: RefusedInvalid},
	})
}

func TestAdmit_withAnotherDiskHasNothingUntilItIsBackfilled(t *testing.T) {
	w := newFixture(t)
	w.fence("p")
	c := w.admitting("", "p")
	c.Admit.Storages[0].FilesystemID = "new"
	w.must(alpha, c)
	if s := w.VirtualStorage(vs).Storage("p"); s.FilesystemID != "new" || s.New || s.Since != w.Index {
		t.Errorf("got %+v, want backfilling on the new disk since index %d", s, w.Index)
	}
	w.fill("p")
	if got, want := w.succession(), "q serving, r serving, p serving"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestAdmit_ofTheTargetThatDied is a switchover whose target dies: the storage
// that was fenced for it serves again, at a new epoch.
func TestAdmit_ofTheTargetThatDied(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, open(Open))
	w.must(alpha, w.fencing(WhySwitchover, "p"))
	w.out("q", WhyDead)
	w.admit("", "p")
	w.out("r", WhyDead)
	if p, ok := w.PrimaryOf(Key{vs, repo}); !ok || p.Name != "p" {
		t.Fatalf("the primary is %q (%t), want p", p.Name, ok)
	}
	w.refuses(alpha, markBehind("p"), RefusedNotPrimary)
	again := markBehind("p")
	again.MarkBehind.Epoch = w.VirtualStorage(vs).Epoch
	w.must(alpha, again)
	if got, want := w.entry().String(), "open(1), behind q+r"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
