package replicator

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"praefect/fsm/state"
)

func TestSightings_boundRunsFromTheFirstViewWithTheMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sightings
		mark := &state.Dirty{At: 7, Scope: state.Scope{BoundMillis: 10_000}}
		s.look(5)
		if got := s.left(mark); got != 10*time.Second {
			t.Errorf("never seen: %v left", got)
		}
		time.Sleep(time.Minute)
		s.look(8)
		time.Sleep(4 * time.Second)
		s.look(9)
		if got := s.left(mark); got != 6*time.Second {
			t.Errorf("seen 4 s ago: %v left", got)
		}
		time.Sleep(time.Hour)
		if got := s.left(mark); got != 0 {
			t.Errorf("long ago: %v left", got)
		}
	})
}

// TestSightings_neverTooEarly compares with a twin that forgets nothing.
func TestSightings_neverTooEarly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		steps := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 3*sightingsKept).Draw(rt, "steps")
		at := state.Index(rapid.IntRange(1, 2*len(steps)).Draw(rt, "at"))
		var fault string
		synctest.Test(t, func(*testing.T) {
			var s sightings
			var first time.Time
			index := state.Index(0)
			for _, step := range steps {
				index += state.Index(step)
				s.look(index)
				if first.IsZero() && index >= at {
					first = time.Now()
				}
				time.Sleep(time.Second)
			}
			d := &state.Dirty{At: at, Scope: state.Scope{BoundMillis: time.Hour.Milliseconds()}}
			exact := time.Hour
			if !first.IsZero() {
				exact = max(0, time.Hour-time.Since(first))
			}
			if got := s.left(d); got < exact {
				fault = "left " + got.String() + ", in truth " + exact.String()
			}
			if len(s.seen) > sightingsKept {
				fault = "unbounded"
			}
		})
		if fault != "" {
			rt.Fatal(fault)
		}
	})
}

func TestSightings_runLooksWithoutBeingAsked(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		repair := w.repairing(t, repairs)
		w.dirty("a.git", state.Scope{BoundMillis: 60_000, Targets: []string{"g1"}})
		time.Sleep(59 * time.Second)
		if out := repair(order{key: key("a.git")}); out.again < 900*time.Millisecond || out.again > 2*time.Second {
			t.Errorf("outcome: %+v", out)
		}
	})
}
