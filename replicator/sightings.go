package replicator

import (
	"context"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
)

const (
	// sightingsKept bounds the memory of sightings. Beyond it every second one
	// is forgotten, which only makes waits longer.
	sightingsKept = 2048
	// sightingsApart is the least time between two sightings that Run takes.
	sightingsApart = 100 * time.Millisecond
)

// sightings tells how long this process has known of what the log says, on its
// own monotonic clock. The bound of a dirty mark runs from there: nobody else's
// clock is asked, and a process that was away starts anew.
//
// One list of (index, time) serves all marks of all repositories, because views
// only move forward: what is at index i was first seen no later than the first
// view at or after i.
type sightings struct {
	mu   sync.Mutex
	seen []sighting // rising in both fields; guarded by mu
}

type sighting struct {
	index state.Index
	at    time.Time
}

// look notes that a view of the index was there now.
func (s *sightings) look(index state.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.seen); n > 0 && s.seen[n-1].index >= index {
		return
	}
	if len(s.seen) >= sightingsKept {
		kept := s.seen[:0]
		for i := 1; i < len(s.seen); i += 2 {
			kept = append(kept, s.seen[i])
		}
		s.seen = kept
	}
	s.seen = append(s.seen, sighting{index, time.Now()})
}

// left is how long an effect of what a dirty mark stands for may still come, at
// most. The caller has a view with the mark.
func (s *sightings) left(d *state.Dirty) time.Duration {
	bound := time.Duration(d.BoundMillis) * time.Millisecond
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := slices.BinarySearchFunc(s.seen, d.At, func(s sighting, at state.Index) int {
		if s.index < at {
			return -1
		}
		return 1
	})
	if i == len(s.seen) {
		return bound // seen just now, by the caller
	}
	return max(0, bound-time.Since(s.seen[i].at))
}

// run takes sightings of the ledger's views until ctx ends.
func (s *sightings) run(ctx context.Context, ledger Ledger) {
	for ctx.Err() == nil {
		changed := ledger.Changed()
		s.look(ledger.View().Index)
		select {
		case <-changed:
		case <-ctx.Done():
		}
		pause(ctx, sightingsApart)
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
