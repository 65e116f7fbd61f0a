package plan

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"praefect/fsm/state"
)

func TestFirstSeen_boundRunsFromTheFirstViewWithTheIntent(t *testing.T) {
	var s FirstSeen
	intent := &state.Doubt{At: 7, Scope: state.Scope{BoundMillis: 10_000}}
	s.Look(0, 5)
	if got := s.Left(0, intent); got != 10*time.Second {
		t.Errorf("never seen: %v left", got)
	}
	s.Look(60*time.Second, 8)
	s.Look(64*time.Second, 9)
	if got := s.Left(64*time.Second, intent); got != 6*time.Second {
		t.Errorf("seen 4 s ago: %v left", got)
	}
	if got := s.Left(time.Hour, intent); got != 0 {
		t.Errorf("long ago: %v left", got)
	}
}

// TestFirstSeen_neverTooEarly compares with a reference that forgets nothing.
func TestFirstSeen_neverTooEarly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 3*firstSeenKept).Draw(t, "steps")
		at := state.Index(rapid.IntRange(1, 2*len(steps)).Draw(t, "at"))
		d := &state.Doubt{At: at, Scope: state.Scope{BoundMillis: time.Hour.Milliseconds()}}
		var s FirstSeen
		exact, seen, now := time.Hour, false, time.Duration(0)
		index := state.Index(0)
		for _, step := range steps {
			if seen {
				exact = max(0, exact-time.Second)
			}
			now += time.Second
			index += state.Index(step)
			s.Look(now, index)
			seen = seen || index >= at
		}
		if got := s.Left(now, d); got < exact {
			t.Fatalf("left %v, in truth %v", got, exact)
		}
	})
}
