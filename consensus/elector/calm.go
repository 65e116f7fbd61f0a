package elector

import (
	"time"

	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// All is calm while no instance has or had lately an RPC to a storage under way, nothing changes in the
// replicated state, each registered instance is heard of, each storage is well at each of them, and
// no decision waits. The leader judges that, and tells every instance. Messages are rare then.
//
// Safety does not depend on it, true or not: leases are as long as ever and are counted as ever, and
// only asked for less often. The simulation has leaders that believe in calm while clients write.
const (
	// calmAfter is for how long nothing was at stake when all is calm.
	calmAfter = 3 * time.Second
	// CalmTimeout is for how long the library of a follower waits for a heartbeat in calm. The
	// stream to the leader tells of its silence before.
	CalmTimeout = 3 * time.Second
	// CalmRest is how often the leader decides and speaks in calm, and each instance looks at its own
	// timers.
	CalmRest = 500 * time.Millisecond
	// rest is how often the leader decides while no decision waits and all is not calm.
	rest = 100 * time.Millisecond
	// beatsInTimeout is how many heartbeats a follower gets in the time for which it waits for one.
	beatsInTimeout = 3
)

// calm is what a leader knows of the calm.
type calm struct {
	is   bool
	seen state.Index   // the view that at speaks of
	at   time.Duration // when last anything was at stake
}

// Stirred notes what is at stake, and tells whether all is calm. quiet says that no decision waits.
func (t *Term) Stirred(now time.Duration, view *state.State, quiet bool) (calm bool) {
	if !quiet || view.Index != t.calm.seen || !t.allIdle(now, view) {
		t.calm.seen, t.calm.at = view.Index, now
	}
	return now-t.calm.at >= calmAfter
}

// allIdle tells whether every registered instance was heard of lately, is idle, and finds every
// storage well.
func (t *Term) allIdle(now time.Duration, view *state.State) bool {
	for _, in := range view.Instances {
		last, ok := t.Received[in.ID]
		if !ok || last.For == 0 || now-last.At > t.lately {
			return false
		}
	}
	return true
}

// Becomes takes whether all is calm, and reports whether that is news.
func (t *Term) Becomes(calm bool) (news bool) {
	news = t.calm.is != calm
	t.calm.is = calm
	return news
}

// Calm tells whether all is calm.
func (t *Term) Calm() bool { return t.calm.is }

// Rest is how long the leader goes without a decision while none waits.
func (t *Term) Rest() time.Duration {
	if t.calm.is {
		return CalmRest
	}
	return rest
}

// Pace is the time between two heartbeats to an instance that has told for how long it waits for one, 0
// for the usual one.
func (t *Term) Pace(timeout time.Duration) time.Duration {
	if !t.calm.is {
		return 0
	}
	return timeout / beatsInTimeout
}

// tell tells an instance whether all is calm.
func (t *Term) tell(m *lease.FromLeader) {
	if t.calm.is { // ▲ lease-longer-in-calm: the lease is as long as ever, and as the leader counts it
		m.CalmMillis = health.IdleAge.Milliseconds()
	}
}
