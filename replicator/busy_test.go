package replicator

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"
)

// busy writes to a.git without a pause, two writes at a time, each a second
// long, until the function that it returns is called. It counts the writes and
// the longest that one took.
func (w *fixture) busy(t *testing.T) (stop func() (writes int, longest time.Duration)) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var writers sync.WaitGroup
	writes, longest := 0, time.Duration(0)
	for i := range 2 {
		writers.Go(func() {
			pause(ctx, time.Duration(i)*500*time.Millisecond)
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				err := w.writeFor(ctx, "a.git", strconv.Itoa(n), false, time.Second)
				if err != nil && ctx.Err() == nil {
					t.Errorf("write: %v", err)
				}
				mu.Lock()
				writes, longest = writes+1, max(longest, time.Since(began))
				mu.Unlock()
			}
		})
	}
	return func() (int, time.Duration) {
		cancel()
		writers.Wait()
		return writes, longest
	}
}

// replicates makes copies take as long as copying lasts.
func (w *fixture) replicates(d time.Duration) {
	w.meet("", "ReplicateRepository", fate{slow: d})
}

func TestRepair_pausesABusyRepository(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, repairs)
		w.replicates(2 * time.Second)
		stop := w.busy(t)
		wait(5 * time.Second)
		began := time.Now()
		repaired(t, repair, "a.git")
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %v", took)
		}
		writes, longest := stop()
		if writes < 10 || longest > repairs.PauseBudget+2*time.Second {
			t.Errorf("%d writes, the longest took %v", writes, longest)
		}
	})
}

func TestRepair_copyLongerThanThePauseLetsWritesGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		cfg := repairs
		cfg.CopyFloor = time.Minute
		r := w.replicator(cfg)
		stopLedger := w.running()
		defer stopLedger()
		w.replicates(30 * time.Second)
		stop := w.busy(t)
		wait(5 * time.Second)
		invalidated := 0
		for began := time.Now(); time.Since(began) < 20*time.Minute; {
			out := r.worker.repair(t.Context(), repairRequest{key: key("a.git")})
			if out.err != nil || out.again == 0 {
				t.Fatalf("outcome: %+v", out)
			}
			invalidated++
			wait(out.again)
		}
		if alarms := r.Alarms(); len(alarms) != 1 || alarms[0].Reason != AlarmBusy {
			t.Errorf("alarms after %d repairs: %+v", invalidated, alarms)
		}
		if w.entry("a.git").HasDoubt() {
			t.Error("a copy was cut off")
		}
		writes, longest := stop()
		if writes < 1000 || longest > cfg.PauseBudget+2*time.Second {
			t.Errorf("%d writes, the longest took %v", writes, longest)
		}
		if out := r.worker.repair(t.Context(), repairRequest{key: key("a.git")}); out.err != nil || out.again != 0 {
			t.Errorf("when it was quiet: %+v", out)
		}
		if alarms := r.Alarms(); len(alarms) != 0 {
			t.Errorf("alarms: %+v", alarms)
		}
	})
}

func TestRepair_jobsThatComeTooSoonDisturbNobody(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(repairs)
		stopLedger := w.running()
		defer stopLedger()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.writeFor(ctx, "a.git", "1", false, time.Hour) }()
		wait(time.Second)
		for began := time.Now(); time.Since(began) < 10*time.Minute; wait(10 * time.Millisecond) {
			// As if each of many writes had a job made at once.
			if out := r.worker.repair(t.Context(), repairRequest{key: key("a.git")}); out.err != nil || out.again == 0 {
				t.Fatalf("outcome: %+v", out)
			}
		}
		if holds := testutil.ToFloat64(r.metrics.pauses); holds < 5 || holds > 12 {
			t.Errorf("writes were paused %v times in ten minutes", holds)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestRepair_withoutAPauseBudgetWritesNeverWait(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		cfg := repairs
		cfg.PauseBudget = 0
		repair := w.repairing(t, cfg)
		stop := w.busy(t)
		wait(5 * time.Second)
		for began := time.Now(); time.Since(began) < 5*time.Minute; {
			out := repair(repairRequest{key: key("a.git")})
			if out.err != nil || out.again == 0 || out.again > 3*time.Second {
				t.Fatalf("outcome: %+v", out)
			}
			wait(out.again)
		}
		if _, longest := stop(); longest > time.Second {
			t.Errorf("a write took %v", longest)
		}
		repaired(t, repair, "a.git")
	})
}

// TestRepair_aWriteDuringTheCopyInvalidatesIt lets the write come at each step of a
// repair.
func TestRepair_aWriteDuringTheCopyInvalidatesIt(t *testing.T) {
	for _, method := range []string{"RepositorySize", "RepositoryExists", "ReplicateRepository"} {
		t.Run(method, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				repair := w.repairing(t, repairs)
				w.mustWrite(t, "a.git", "1", false)
				w.meet("", method, fate{slow: 2 * time.Second})
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					wait(time.Second)
					w.mustWrite(t, "a.git", "2", false)
				}()
				out := repair(repairRequest{key: key("a.git")})
				<-ended
				if invalidated := method != "RepositorySize"; invalidated != (out.again > 0) || out.err != nil {
					t.Errorf("outcome: %+v", out)
				}
				w.expect(t, repair, "2")
			})
		})
	}
}

func TestStreak_delays(t *testing.T) {
	longest := time.Minute
	for _, row := range []struct {
		backOff backOff
		want    time.Duration
		pauses  bool
	}{
		{backOff{busy: 1}, 200 * time.Millisecond, false},
		{backOff{busy: 2}, 400 * time.Millisecond, false},
		{backOff{invalidated: 1}, 200 * time.Millisecond, false},
		{backOff{busy: 9}, 2 * time.Second, false},
		{backOff{busy: 10}, 2 * time.Second, true},
		{backOff{invalidated: 2}, 400 * time.Millisecond, true},
		{backOff{invalidated: 2, pauses: 1}, 2 * time.Second, true},
		{backOff{invalidated: 2, pauses: 3}, 8 * time.Second, true},
		{backOff{invalidated: 2, pauses: 30}, time.Minute, true},
	} {
		if got := row.backOff.delay(longest, 0.5); got != row.want {
			t.Errorf("%+v: delay %v, want %v", row.backOff, got, row.want)
		}
		if got := row.backOff.pausesWrites(); got != row.pauses {
			t.Errorf("%+v: pauses writes %v, want %v", row.backOff, got, row.pauses)
		}
	}
}

func TestBackoff_growsWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shortest := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "shortest"))
		longest := shortest + time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "more"))
		n := rapid.IntRange(0, 10_000).Draw(t, "n")
		random := rapid.Float64Range(0, 0.999).Draw(t, "random")
		got := backOffAfter(shortest, longest, n, random)
		if got < shortest*79/100 || got > longest*121/100 {
			t.Fatalf("%v is not within %v and %v", got, shortest, longest)
		}
		if n > 0 && backOffAfter(shortest, longest, n+1, random) < got {
			t.Fatal("it shrinks")
		}
	})
}

func TestPatience_isBounded(t *testing.T) {
	var p backoffs
	for i := range 2 * backoffsKept {
		p.metWrite(key(strconv.Itoa(i)), false, false, time.Second, 0)
	}
	if len(p.of) != backoffsKept {
		t.Errorf("%d backoffs", len(p.of))
	}
	last := key(strconv.Itoa(2*backoffsKept - 1))
	if s := p.metWrite(last, true, false, time.Second, 0); s.busy != 1 || s.pauses != 1 {
		t.Errorf("backOff: %+v", s)
	}
	p.forget(last)
	if s := p.get(last); s != (backOff{}) {
		t.Errorf("backOff: %+v", s)
	}
}
