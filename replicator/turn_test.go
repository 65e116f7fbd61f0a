package replicator

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/ledger/ledgertest"
)

// another begins a second instance, with a ledger of its own, and returns that.
func (w *fixture) another() *ledger.Ledger {
	n := &node{fixture: w, changed: make(chan struct{})}
	results, err := n.Propose(context.Background(), state.Command{Register: &state.Register{ID: "two", ClusterID: "cluster"}})
	if err != nil || results[0].Refusal != nil {
		w.t.Fatalf("register: %v, %v", results, err)
	}
	n.inc = results[0].Incarnation
	w.mu.Lock()
	w.others = append(w.others, n)
	w.mu.Unlock()
	return ledger.New(n, ledgertest.NewAlone(), connections{w}, ledger.Config{Linger: 3 * time.Second, QueueTimeout: 10 * time.Second, QueueLimit: 100})
}

// TestRepair_hasItsTurnBesideTwoWritingInstances: each writes once a second, so that at every
// moment the other one's intent lingers. Before there were wishes no repair was ever done.
func TestRepair_hasItsTurnBesideTwoWritingInstances(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		second := w.another()
		ctx, cancel := context.WithCancel(t.Context())
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = second.Run(ctx) })
		repair := w.repairing(t, repairs)
		w.replicates(time.Second)

		var mu sync.Mutex
		longest, writes := time.Duration(0), 0
		for i, locks := range []*ledger.Ledger{w.locks, second} {
			tasks.Go(func() {
				pause(ctx, time.Duration(i)*500*time.Millisecond)
				for n := 0; ctx.Err() == nil; n++ {
					began := time.Now()
					if err := w.writeBy(ctx, locks, "a.git", strconv.Itoa(10*n+i), false, 10*time.Millisecond); err != nil && ctx.Err() == nil {
						t.Errorf("write: %v", err)
					}
					mu.Lock()
					longest, writes = max(longest, time.Since(began)), writes+1
					mu.Unlock()
					pause(ctx, time.Second)
				}
			})
		}
		wait(5 * time.Second)
		began, attempts, copies := time.Now(), 0, 0
		for copies < 3 {
			attempts++
			out := repair(repairRequest{key: key("a.git")})
			if len(out.synced) > 0 {
				copies++
			}
			if out.err != nil || time.Since(began) > 3*time.Minute {
				t.Fatalf("%d attempts, %d copies in %v: %v", attempts, copies, time.Since(began), out.err)
			}
			wait(max(out.again, time.Millisecond))
		}
		if attempts > 60 {
			t.Errorf("%d attempts", attempts)
		}
		cancel()
		tasks.Wait()
		if limit := repairs.PauseBudget + time.Second; longest > limit {
			t.Errorf("a write took %v, the limit is %v", longest, limit)
		}
		if writes < 20 {
			t.Errorf("%d writes", writes)
		}
		t.Logf("%d attempts, %d writes, the longest took %v", attempts, writes, longest)
	})
}
