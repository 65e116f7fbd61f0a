package replicator

import (
	"context"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// firstSeenApart is the least time between two looks of run.
const firstSeenApart = 100 * time.Millisecond

// firstSeen tells how long this process has known of the entries of the log.
type firstSeen struct {
	began time.Time

	mu   sync.Mutex
	seen plan.FirstSeen // guarded by mu
}

func newFirstSeen() *firstSeen { return &firstSeen{began: time.Now()} }

// look notes that a view of the index was there now.
func (s *firstSeen) look(index state.Index) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen.Look(time.Since(s.began), index)
}

// left is how long an effect of the operations of an in-doubt intent may still come, at most.
// The caller has a view with the intent.
func (s *firstSeen) left(d *state.Doubt) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.Left(time.Since(s.began), d)
}

// Ended returns the in-doubt intents of a repository of which no effect can come any more,
// and how long at most one of the others may still come.
func (r *Replicator) Ended(key state.Key) (ended []state.DoubtRef, left time.Duration) {
	view := r.ledger.View()
	r.firstSeen.look(view.Index)
	entry := view.Entry(key)
	if entry == nil {
		return nil, 0
	}
	for i := range entry.Intents {
		intent := &entry.Intents[i]
		if intent.InDoubt == nil {
			continue
		}
		if still := r.firstSeen.left(intent.InDoubt); still > 0 {
			left = max(left, still)
			continue
		}
		ended = append(ended, state.DoubtRef{Incarnation: intent.Incarnation, At: intent.InDoubt.At})
	}
	return ended, left
}

// run notes the indices of the ledger's views until ctx ends.
func (s *firstSeen) run(ctx context.Context, ledger Ledger) {
	for ctx.Err() == nil {
		changed := ledger.Changed()
		s.look(ledger.View().Index)
		await(ctx, changed)
		pause(ctx, firstSeenApart)
	}
}

// untilNext is the time until the next whole multiple of every, after now. Parts that look for work
// every second look at the same moment, which wakes an idle process once.
func untilNext(now time.Time, every time.Duration) time.Duration {
	return now.Truncate(every).Add(every).Sub(now)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
