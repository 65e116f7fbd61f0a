package consensus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// TestBubble_awayForAnHour has an instance return that was away while so many
// entries came, and more come: by the log, or by a snapshot; with a log that is only
// shorter, or that ends in entries which the others never got. BUBBLE_ENTRIES says
// how many: 144000 are forty in each second of an hour.
func TestBubble_awayForAnHour(t *testing.T) {
	entries := fromEnv(t, "BUBBLE_ENTRIES", 1000)
	for name, row := range map[string]struct {
		trailing uint64
		leader   bool
	}{
		"by the log":                      {2 * entries, false},
		"by the log, with another end":    {2 * entries, true},
		"by a snapshot":                   {few, false},
		"by a snapshot, with another end": {few, true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, 1, row.trailing, func(t *testing.T, w *testCluster) {
				away := w.leader()
				if !row.leader {
					away = w.others(away)[0]
				}
				w.isolate(away)
				ctx, stop := context.WithCancel(t.Context())
				var clients sync.WaitGroup
				defer clients.Wait()
				defer stop()
				clients.Go(func() { _, _ = away.node.Propose(ctx, openIntent("cut off")) }) // it may be in the log, and may not
				var missed sync.WaitGroup
				left := w.others(away)
				for _, s := range left {
					missed.Go(func() { s.fill(t, entries/2) })
				}
				missed.Wait()
				if row.trailing == few {
					for _, s := range left {
						if _, err := s.node.Snapshot(); err != nil {
							t.Error(err)
						}
					}
				}
				for _, s := range left {
					clients.Go(func() {
						for n := 0; ctx.Err() == nil; n++ {
							_, _ = s.node.Propose(ctx, openIntent(fmt.Sprint(n))) // some end with the test
							pause(ctx, 50*time.Millisecond)
						}
					})
				}
				before := left[0].node.View().Index
				began, real := time.Now(), lease.Now()
				w.heal()
				w.eventually("it is back under a lease", func() bool { return away.leased() && away.node.View().Index >= before })
				t.Logf("%d entries were made good after %v, and %v of the machine's time", before,
					time.Since(began).Round(time.Millisecond), (lease.Now() - real).Round(time.Millisecond))
				stop()
				clients.Wait()
				w.whole()
				if got := away.node.View().Entry(state.Key{VirtualStorage: vsName, RelativePath: "0"}); got == nil {
					t.Error("it lacks what it missed")
				}
			})
		})
	}
}

// fill makes so many entries.
func (s *seat) fill(t *testing.T, entries uint64) {
	for n := range entries {
		if _, err := s.node.Propose(t.Context(), openIntent(fmt.Sprint(n%1000))); err != nil {
			t.Errorf("%s: %v", s.name, err)
			return
		}
	}
}
