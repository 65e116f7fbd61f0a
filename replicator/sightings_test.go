package replicator

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
)

// What an operator is told has ended has: its bound has passed since this process knew of it.
func TestReplicator_Ended(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(repairs)
		w.inDoubt("a.git", state.Scope{BoundMillis: 5000, Targets: []string{"g2"}})
		if ended, left := r.Ended(key("a.git")); len(ended) > 0 || left != 5*time.Second {
			t.Errorf("at once: %v have ended, %v are left", ended, left)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		ended, left := r.Ended(key("a.git"))
		m := w.entry("a.git").Intents[0]
		if want := []state.DoubtRef{{Incarnation: m.Incarnation, At: m.InDoubt.At}}; !slices.Equal(ended, want) || left != 0 {
			t.Errorf("after its bound: %v have ended, want %v; %v are left", ended, want, left)
		}
		if ended, left := r.Ended(key("clean.git")); len(ended) > 0 || left != 0 {
			t.Errorf("a clean one: %v, %v", ended, left)
		}
	})
}
