package plan

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// firstSeenKept bounds the memory of FirstSeen. Beyond it every second one is
// forgotten, which only makes waits longer.
const firstSeenKept = 2048

// FirstSeen tells how long a process has known the entries of the log, on its own
// monotonic clock. The bound of an in-doubt intent runs from there: no other
// clock is asked, and a process that was away starts anew.
//
// One list of (index, time) serves all intents of all repositories, because views
// only move forward: the entry at index i was first seen no later than the first
// view at or after i.
type FirstSeen struct {
	seen []seenAt // rising in both fields
}

type seenAt struct {
	index state.Index
	at    time.Duration
}

// Look notes that a view of the index was there now.
func (s *FirstSeen) Look(now time.Duration, index state.Index) {
	if n := len(s.seen); n > 0 && s.seen[n-1].index >= index {
		return
	}
	if len(s.seen) >= firstSeenKept {
		kept := s.seen[:0]
		for i := 1; i < len(s.seen); i += 2 {
			kept = append(kept, s.seen[i])
		}
		s.seen = kept
	}
	s.seen = append(s.seen, seenAt{index, now})
}

// Left is how long an effect of the writes that an in-doubt intent stands for may still come, at
// most. The caller has a view with the intent. (▲ plan-bound-from-the-start)
func (s *FirstSeen) Left(now time.Duration, d *state.Doubt) time.Duration {
	bound := time.Duration(d.BoundMillis) * time.Millisecond
	i, _ := slices.BinarySearchFunc(s.seen, d.At, func(s seenAt, at state.Index) int {
		if s.index < at {
			return -1
		}
		return 1
	})
	if i == len(s.seen) {
		return bound // seen just now, by the caller
	}
	return max(0, bound-(now-s.seen[i].at))
}
