package replicator

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

// patient has copies of large repositories show progress once an hour.
var patient = Config{PauseBudget: 5 * time.Second, PauseTries: 3, CopyFloor: 10 * time.Second, CopyRate: 1 << 10, CopyTimeout: time.Hour, LookTimeout: 10 * time.Second}

// large makes a.git a repository of which a copy is expected to take more than an hour, which
// g3 lacks a write of.
func (w *fixture) large(t *testing.T) {
	t.Helper()
	w.put("a.git", strings.Repeat("x", 4000), "g1", "g2", "g3")
	w.mustWrite(t, "a.git", strings.Repeat("y", 4000), false)
	w.put("a.git", strings.Repeat("y", 4000), "g2")
}

// slowly has copies onto g3 take so long.
func (w *fixture) slowly(d time.Duration) {
	w.meet("g3", "ReplicateRepository", fate{slow: d})
}

func TestRepair_copyGoesOnWhileItMakesProgress(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, patient)
		w.large(t)
		w.slowly(5 * time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		var growing sync.WaitGroup
		growing.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				w.put("a.git", strings.Repeat("z", n), "g3")
				pause(ctx, 55*time.Minute)
			}
		})
		out := repair(repairRequest{key: key("a.git")})
		cancel()
		growing.Wait()
		if out.err != nil || len(out.synced) != 2 {
			t.Errorf("outcome: %+v", out)
		}
		w.expect(t, repair, strings.Repeat("y", 4000))
	})
}

func TestRepair_copyWithoutProgressEnds(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, patient)
		w.large(t)
		w.slowly(5 * time.Hour)
		began := time.Now()
		out := repair(repairRequest{key: key("a.git")})
		if took := time.Since(began); took < time.Hour || took > 70*time.Minute {
			t.Errorf("ended after %v", took)
		}
		if !strings.Contains(errorText(out.err), `the copy onto "g3" has shown no progress for 1h0m0s`) {
			t.Errorf("outcome: %+v", out)
		}
		synctest.Wait() // the intent closes, in doubt
		if entry := w.entry("a.git"); entry.IsBehind("g2") || !entry.IsBehind("g3") || !entry.HasDoubt() {
			t.Errorf("entry: %+v", entry)
		}
		w.slowly(90 * time.Minute) // the first of the next attempts is cut off, too; then twice as long is allowed
		for copies := 0; w.entry("a.git") != nil; {
			if out := repair(repairRequest{key: key("a.git")}); out.err != nil {
				copies++
			}
			wait(10 * time.Minute)
			if copies > 2 {
				t.Fatalf("%d copies did not end in time: %+v", copies, w.entry("a.git"))
			}
		}
		w.expect(t, repair, strings.Repeat("y", 4000))
	})
}

// TestRepair_longCopyHoldsNothing has a copy onto g3 take 70 minutes, in which g2 misses a write,
// and another instance leaves a doubt. Both are seen to beside the copy, which then counts for
// nothing, because it began before.
func TestRepair_longCopyHoldsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		second := w.another()
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = second.Run(ctx) })
		cfg := patient
		cfg.CopyTimeout, cfg.CopyFloor = 2*time.Hour, 20*time.Minute
		repair := w.repairing(t, cfg)
		w.large(t)
		w.slowly(70 * time.Minute)
		began := time.Now()
		first := make(chan outcome, 1)
		go func() { first <- repair(repairRequest{key: key("a.git")}) }()

		within := func(what string, done func(*state.Entry) bool) {
			t.Helper()
			for since := time.Now(); !done(w.entry("a.git")); wait(100 * time.Millisecond) {
				if time.Since(since) > time.Minute {
					t.Fatalf("not within a minute: %s; entry %+v", what, w.entry("a.git"))
				}
			}
		}
		within("g2 is in sync", func(e *state.Entry) bool { return !e.IsBehind("g2") })
		for _, content := range []string{"1", "2", "3"} {
			wait(5 * time.Minute)
			w.mustWrite(t, "a.git", content, false)
			if !w.entry("a.git").IsBehind("g2") {
				t.Fatal("g2 misses no write")
			}
			within("g2 is in sync after a write", func(e *state.Entry) bool { return !e.IsBehind("g2") && w.content("g2", "a.git") == content })
		}
		wait(5 * time.Minute)
		if err := w.writeBy(ctx, second, "a.git", "4", true, 0); err != nil && !errors.Is(err, context.Canceled) {
			t.Logf("the write that ends in doubt: %v", err)
		}
		within("a doubt", (*state.Entry).HasDoubt)
		within("no doubt, and g2 in sync", func(e *state.Entry) bool { return !e.HasDoubt() && !e.IsBehind("g2") })
		if time.Since(began) > time.Hour || !w.entry("a.git").IsBehind("g3") {
			t.Fatalf("the copy has ended after %v", time.Since(began))
		}
		if out := <-first; out.err != nil || out.again == 0 {
			t.Errorf("outcome: %+v", out)
		}
		w.slowly(time.Second)
		w.expect(t, repair, "4")
		cancel()
		tasks.Wait()
	})
}
