package elector_test

import (
	"testing"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// All is calm once nothing was at stake for three seconds, and no more as soon as anything is.
func TestTerm_Stirred(t *testing.T) {
	const looks, after = 100 * time.Millisecond, 3 * time.Second
	well := []health.Report{{Storage: "gitaly-1", Status: health.Well}}
	idle := lease.ToLeader{InstanceID: "b", Incarnation: 2, Reports: well, Idle: true}
	for _, tc := range []struct {
		name  string
		stirs func(m *lease.ToLeader, view *state.State) (heard, quiet bool)
		calm  bool
	}{
		{name: "nothing", stirs: func(*lease.ToLeader, *state.State) (heard, quiet bool) { return true, true }, calm: true},
		{name: "a decision waits", stirs: func(*lease.ToLeader, *state.State) (heard, quiet bool) { return true, false }},
		{name: "an instance is silent", stirs: func(*lease.ToLeader, *state.State) (heard, quiet bool) { return false, true }},
		{name: "the state changes", stirs: func(_ *lease.ToLeader, view *state.State) (heard, quiet bool) {
			view.Index++
			return true, true
		}},
		{name: "a storage is in use", stirs: func(m *lease.ToLeader, _ *state.State) (heard, quiet bool) {
			m.Idle = false
			return true, true
		}},
		{name: "a storage is slow", stirs: func(m *lease.ToLeader, _ *state.State) (heard, quiet bool) {
			m.Reports = []health.Report{{Storage: "gitaly-1", Status: health.Slow}}
			return true, true
		}},
		{name: "an instance is new", stirs: func(_ *lease.ToLeader, view *state.State) (heard, quiet bool) {
			view.Instances = append(view.Instances, state.Instance{ID: "c", Incarnation: 3})
			return true, true
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			term := elector.NewTerm(lease.Election{Term: 1, Self: "a", Length: time.Second}, 300*time.Millisecond, looks)
			view, now := &state.State{Index: 7, Instances: []state.Instance{{ID: "b", Incarnation: 2}}}, time.Hour
			for began := now; now-began < after; now += looks {
				term.Hear(now, &idle)
				if term.Stirred(now, view, true) {
					t.Fatalf("calm after %v", now-began)
				}
			}
			m := idle
			heard, quiet := tc.stirs(&m, view)
			if !heard {
				now += 2 * looks
			} else {
				term.Hear(now, &m)
			}
			if got := term.Stirred(now, view, quiet); got != tc.calm {
				t.Errorf("calm: %v", got)
			}
		})
	}
}

// In calm the leader rests longer and its heartbeats are rarer, and leases are as long as ever.
func TestTerm_Becomes(t *testing.T) {
	term := elector.NewTerm(lease.Election{Term: 1, Self: "a", Length: time.Second}, time.Second, time.Second)
	term.Voters([]string{"a"})
	term.Hear(0, &lease.ToLeader{InstanceID: "a", Incarnation: 1, AskNumber: 1, Term: 1})
	term.Grant(0, 1)
	before, rest := term.Message(0, 1), term.Rest()
	if term.Becomes(false) || !term.Becomes(true) || term.Becomes(true) {
		t.Error("news is not told, or told twice")
	}
	m := term.Message(0, 1)
	if before.CalmMillis != 0 || m.CalmMillis == 0 || m.LeaseMillis != before.LeaseMillis || m.LeaseMillis != 1000 {
		t.Errorf("was told %+v, and %+v in calm", before, m)
	}
	if term.Rest() <= rest || term.Pace(3*time.Second) != time.Second {
		t.Errorf("rests for %v after %v, and has a heartbeat every %v", term.Rest(), rest, term.Pace(3*time.Second))
	}
	if term.Becomes(false); term.Rest() != rest || term.Pace(3*time.Second) != 0 {
		t.Error("the calm has ended, and messages are rare")
	}
}
