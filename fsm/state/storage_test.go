package state

import (
	"fmt"
	"testing"
)

func TestDefine_new(t *testing.T) {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster"}})
	w.must(alpha, define("p", "q"))
	if got, want := w.succession(), "p serving, q backfilling new"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := w.VirtualStorage(vs).Epoch; got != 1 {
		t.Errorf("epoch %d, want 1", got)
	}
	if got := len(w.VirtualStorage(vs).History); got != 2 {
		t.Errorf("history of %d lines, want 2", got)
	}
}

func TestDefine_sortsVirtualStorages(t *testing.T) {
	w := &fixture{t: t, State: &State{}}
	w.must(0, Command{Register: &Register{ID: "a", ClusterID: "cluster"}})
	for _, name := range []string{"b", "c", "a"} {
		w.must(alpha, Command{Define: &Define{VirtualStorage: name, Storages: []string{"p"}}})
	}
	for i, want := range []string{"a", "b", "c"} {
		if got := w.VirtualStorages[i].Name; got != want {
			t.Errorf("virtual storage %d is %q, want %q", i, got, want)
		}
		if w.VirtualStorage(want) == nil {
			t.Errorf("virtual storage %q is not found", want)
		}
	}
}

// TestDefine covers changes of p, q, r, which all serve unless given otherwise.
func TestDefine(t *testing.T) {
	dead := func(name string) func(*fixture) { return func(w *fixture) { w.out(name, WhyDead) } }
	runStateRows(t, []stateRow{
		{name: "the same", do: do(define("p", "q", "r")), want: "p serving, q serving, r serving"},
		{name: "in other order", do: do(define("r", "q", "p")), want: "p serving, q serving, r serving"},
		{name: "a new one", do: do(define("s", "p", "q", "r")),
			want: "p serving, q serving, r serving, s backfilling new"},
		{name: "a new one is behind where marked", given: given(open(Open)), do: do(define("p", "q", "r", "s")),
			want: "p serving, q serving, r serving, s backfilling new", entry: "open(1), behind s"},
		{name: "a new one is behind where in doubt", given: given(open(Open), closing(true)), do: do(define("p", "q", "r", "s")),
			want: "p serving, q serving, r serving, s backfilling new", entry: "in doubt(1), behind s"},
		{name: "a new one is behind where another is", given: given(open(Open), markBehind("p", "q"), closing(false)),
			do:   do(define("p", "q", "r", "s")),
			want: "p serving, q serving, r serving, s backfilling new", entry: "behind r+s"},
		{name: "one less", do: do(define("p", "q")), want: "p serving, q serving"},
		{name: "one less is forgotten", given: given(open(Open, "q", "r"), markBehind("p"), closing(true), open(Open, "r")),
			do: do(define("p", "q")), want: "p serving, q serving", entry: "open(1) on r, in doubt(1) on q+r, behind q"},
		{name: "an empty entry vanishes", given: given(open(Open), markBehind("p", "q"), closing(false)),
			do: do(define("p", "q")), want: "p serving, q serving"},
		{name: "one replaced", do: do(define("p", "q", "s")), want: "p serving, q serving, s backfilling new"},
		{name: "the last is out", given: dead("p"), do: do(define("q", "r")), want: "q serving, r serving"},
		{name: "the primary", do: do(define("q", "r")), refused: RefusedInUse},
		{name: "the fenced primary", given: func(w *fixture) { w.fence("p") }, do: do(define("q", "r")), refused: RefusedInUse},
		{name: "the primary since another is out", given: dead("p"), do: do(define("p", "r")), refused: RefusedInUse},
		{name: "the only one not behind", given: func(w *fixture) {
			w.out("p", WhyDead)
			w.must(alpha, open(Open))
			w.must(alpha, markBehind("q")) // r is behind as well
			w.must(alpha, reach("p", "disk-p"))
			w.switchover("q", "r")
		}, do: do(define("p", "r")), refused: RefusedInUse},
		{name: "the only two not behind", given: func(w *fixture) {
			w.out("p", WhyDead)
			w.must(alpha, open(Open), markBehind("q", "r"), reach("p", "disk-p"))
			w.switchover("q", "r")
		}, do: do(define("p")), refused: RefusedInUse},
		{name: "a fenced one that is not the primary", given: func(w *fixture) { w.fence("q") }, do: do(define("p", "r")),
			refused: RefusedInUse},
		{name: "all that serve", given: func(w *fixture) { w.fence("p") }, do: do(define("p")), refused: RefusedLast},
		{name: "none", do: do(define()), refused: RefusedInvalid},
		{name: "one twice", do: do(define("p", "q", "r", "p")), refused: RefusedInvalid},
		{name: "one without a name", do: do(define("p", "q", "r", "")), refused: RefusedInvalid},
	})
}

// TestRejoin covers q, which serves after p and before r unless given otherwise.
func TestRejoin(t *testing.T) {
	backfilling := func(w *fixture) { w.must(alpha, reach("q", "new")) }
	backfilled := func(since int, disk string) func(*fixture) Command {
		return func(w *fixture) Command {
			c := reach("q", disk)
			c.Rejoin.Backfilled = w.VirtualStorage(vs).Storage("q").Since + Index(since)
			return c
		}
	}
	added := func(w *fixture) { w.must(alpha, define("p", "r", "q2", "q")) }
	runStateRows(t, []stateRow{
		{name: "the same disk", do: do(reach("q", "disk-q")), want: "p serving, q serving, r serving"},
		{name: "the first disk of a new one", given: added, do: do(reach("q2", "disk")),
			want: "p serving, q serving, r serving, q2 backfilling new"},
		{name: "dead", given: func(w *fixture) { w.out("q", WhyDead) }, do: do(reach("q", "disk-q")),
			want: "p serving, r serving, q serving"},
		{name: "dead, with another disk", given: func(w *fixture) { w.out("q", WhyDead) }, do: do(reach("q", "new")),
			want: "p serving, r serving, q backfilling"},
		{name: "another disk", do: do(reach("q", "new")), want: "p serving, q backfilling, r serving"},
		{name: "yet another disk while backfilling", given: backfilling, do: do(reach("q", "newer")),
			want: "p serving, q backfilling, r serving"},
		{name: "backfilled", given: func(w *fixture) { backfilling(w); w.must(alpha, compared(w.VirtualStorage(vs).Storage("q"))) },
			do: backfilled(0, "new"), want: "p serving, r serving, q serving"},
		{name: "fenced, the same disk", given: func(w *fixture) { w.fence("q") }, do: do(reach("q", "disk-q")),
			want: "p serving, q fenced (dead), r serving"},

		{name: "drained", given: func(w *fixture) { w.out("q", WhyDrained) }, do: do(reach("q", "disk-q")),
			refused: RefusedDrained},
		{name: "drained, with another disk", given: func(w *fixture) { w.out("q", WhyDrained) }, do: do(reach("q", "new")),
			refused: RefusedDrained},
		{name: "the primary has another disk", do: do(reach("p", "new")), refused: RefusedInUse},
		{name: "the last that serves has another disk", given: func(w *fixture) { w.out("r", WhyDead); w.fence("p") },
			do: do(reach("q", "new")), refused: RefusedLast},
		{name: "fenced, with another disk", given: func(w *fixture) { w.fence("q") }, do: do(reach("q", "new")),
			refused: RefusedInUse},
		{name: "backfilled, but not since then", given: backfilling, do: backfilled(-1, "new"), refused: RefusedChanged},
		{name: "backfilled on another disk", given: backfilling, do: backfilled(0, "newer"), refused: RefusedChanged},
		{name: "backfilled, but serving", do: backfilled(0, "disk-q"), refused: RefusedChanged},
		{name: "backfilled before the disk was known", given: added, do: func(w *fixture) Command {
			c := reach("q2", "disk")
			c.Rejoin.Backfilled = w.VirtualStorage(vs).Storage("q2").Since
			return c
		}, refused: RefusedChanged},
		{name: "no such storage", do: do(reach("x", "disk")), refused: RefusedUnknown},
		{name: "no such virtual storage", do: func(*fixture) Command {
			c := reach("q", "disk")
			c.Rejoin.VirtualStorage = "other"
			return c
		}, refused: RefusedUnknown},
		{name: "no disk", do: do(reach("q", "")), refused: RefusedInvalid},
	})
}

func TestRejoin_anotherDiskIsBehindForTheWholeLedger(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, paths(open(Open), "marked", "in doubt", "behind"), paths(closing(true), "in doubt"))
	w.must(alpha, paths(markBehind("p", "q"), "behind"), paths(closing(false), "behind"), reach("q", "new"))
	for path, want := range map[string]string{
		"marked":   "open(1), behind q",
		"in doubt": "in doubt(1), behind q",
		"behind":   "behind q+r",
	} {
		if got := w.Entry(Key{vs, path}).String(); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

func TestRejoin_startsTheBackfillOver(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, reach("q", "new"))
	first := w.VirtualStorage(vs).Storage("q").Since
	w.must(alpha, reach("q", "newer"))
	if got := w.VirtualStorage(vs).Storage("q"); got.Since <= first || got.FilesystemID != "newer" {
		t.Errorf("backfilling since %d on %q, want since after %d on the newer disk", got.Since, got.FilesystemID, first)
	}
}

func TestVirtualStorage_epochRisesWithEachRole(t *testing.T) {
	w := newFixture(t)
	epoch := w.VirtualStorage(vs).Epoch
	step := func(name string, c Command, by uint64) {
		w.must(alpha, c)
		if got := w.VirtualStorage(vs).Epoch; got != epoch+by {
			t.Errorf("%s: epoch %d, want %d", name, got, epoch+by)
		}
		epoch = w.VirtualStorage(vs).Epoch
	}
	step("another disk", reach("q", "new"), 1)
	step("yet another", reach("q", "newer"), 0)
	step("a new storage", define("p", "q", "r", "s"), 0)
	step("a backfilling one removed", define("p", "q", "r"), 0)
	step("a serving one removed", define("p", "q"), 1)
	w.fill("q")
	if got := w.VirtualStorage(vs).Epoch; got != epoch+1 {
		t.Errorf("backfilled: epoch %d, want %d", got, epoch+1)
	}
}

func TestVirtualStorage_historyIsBounded(t *testing.T) {
	w := newFixture(t)
	for i := range HistoryLength + 10 {
		w.must(alpha, reach("q", fmt.Sprint("disk ", i)))
	}
	h := w.VirtualStorage(vs).History
	if len(h) != HistoryLength {
		t.Fatalf("history of %d lines, want %d", len(h), HistoryLength)
	}
	last := h[len(h)-1]
	if last.Index != w.Index || last.Storage != "q" || last.To != Backfilling || last.Time != int64(w.Index)*1000 {
		t.Errorf("the last line is %+v at index %d", last, w.Index)
	}
}

// The settings of a leader that has not heard of a change must not undo it.
func TestDefine_asDecided(t *testing.T) {
	for _, r := range []struct {
		name    string
		was     []string
		refused Reason
		want    string
	}{
		{name: "as decided", was: []string{"q", "p", "r"}, want: "p serving, q serving, r serving, s backfilling new"},
		{name: "one was removed meanwhile", was: []string{"p", "q", "r", "t"}, refused: RefusedChanged},
		{name: "one was added meanwhile", was: []string{"p", "q"}, refused: RefusedChanged},
		{name: "nothing was decided on", want: "p serving, q serving, r serving, s backfilling new"},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := newFixture(t)
			got := w.try(alpha, Command{Define: &Define{VirtualStorage: vs, Storages: []string{"p", "q", "r", "s"}, Was: r.was}})
			switch {
			case r.refused != "":
				if got.Refusal == nil || got.Refusal.Reason != r.refused {
					t.Errorf("got %v, want refused (%s)", got.Refusal, r.refused)
				}
			case got.Refusal != nil || w.succession() != r.want:
				t.Errorf("got %v, %q, want %q", got.Refusal, w.succession(), r.want)
			}
		})
	}
	w := newFixture(t)
	w.must(alpha, Command{RemoveVirtualStorage: &RemoveVirtualStorage{VirtualStorage: vs, Epoch: w.VirtualStorage(vs).Epoch}})
	if got := w.try(alpha, Command{Define: &Define{VirtualStorage: vs, Storages: []string{"p"}, Was: []string{"p"}}}); got.Refusal == nil || got.Refusal.Reason != RefusedChanged {
		t.Errorf("of a virtual storage that was removed meanwhile: got %v", got.Refusal)
	}
}

func TestDefine_saysWhoRemoved(t *testing.T) {
	w := newFixture(t)
	w.must(alpha, Command{Define: &Define{VirtualStorage: vs, Storages: []string{"p", "q"}, By: "operator: storage remove r"}})
	history := w.VirtualStorage(vs).History
	if last := history[len(history)-1]; last.Storage != "r" || last.Why != "removed" || last.By != "operator: storage remove r" {
		t.Errorf("got %+v", last)
	}
}

func TestRemoveVirtualStorage(t *testing.T) {
	for _, r := range []struct {
		name    string
		given   func(*fixture)
		of      string
		epoch   uint64 // more than that of the state
		refused Reason
	}{
		{name: "one that nothing is known of"},
		{name: "one that is not there", of: "other", refused: RefusedUnknown},
		{name: "at another epoch", epoch: 1, refused: RefusedEpoch},
		{name: "a write may be under way", given: given(open(Open)), refused: RefusedInUse},
		{name: "a storage is behind", given: given(open(Open), markBehind("p", "q"), closing(false)), refused: RefusedInUse},
		{name: "a storage is fenced", given: func(w *fixture) { w.fence("q") }, refused: RefusedInUse},
	} {
		t.Run(r.name, func(t *testing.T) {
			w := newFixture(t)
			w.must(alpha, Command{Define: &Define{VirtualStorage: "kept", Storages: []string{"p"}}})
			if r.given != nil {
				r.given(w)
			}
			name := vs
			if r.of != "" {
				name = r.of
			}
			why := w.WhyVirtualStorageKept(name)
			got := w.try(alpha, Command{RemoveVirtualStorage: &RemoveVirtualStorage{VirtualStorage: name, Epoch: w.VirtualStorage(vs).Epoch + r.epoch}})
			if r.refused != "" {
				if got.Refusal == nil || got.Refusal.Reason != r.refused || w.VirtualStorage(vs) == nil {
					t.Errorf("got %v, want refused (%s)", got.Refusal, r.refused)
				}
				if (why == nil) != (r.refused == RefusedEpoch) {
					t.Errorf("foreseen: %v", why)
				}
				return
			}
			if got.Refusal != nil || why != nil || w.VirtualStorage(vs) != nil || w.VirtualStorage("kept") == nil {
				t.Errorf("got %v, foreseen %v; left are %+v", got.Refusal, why, w.VirtualStorages)
			}
		})
	}
}

func TestState_WhyKept(t *testing.T) {
	w := newFixture(t)
	if why := w.WhyKept(vs, []string{"r"}); why != nil {
		t.Errorf("got %v", why)
	}
	if why := w.WhyKept(vs, []string{"p"}); why == nil || why.Reason != RefusedInUse {
		t.Errorf("of the primary: got %v", why)
	}
	if why := w.WhyKept(vs, []string{"x"}); why == nil || why.Reason != RefusedUnknown {
		t.Errorf("of one that is not there: got %v", why)
	}
}
