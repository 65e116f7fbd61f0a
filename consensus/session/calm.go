package session

import (
	"slices"
	"time"

	"praefect/consensus/health"
	"praefect/consensus/lease"
	"praefect/fsm/reachability"
	"praefect/fsm/state"
)

// All is calm while no instance has or had lately an RPC to a storage under way, nothing changes in the
// replicated state, each registered instance is heard of, each storage is well at each of them, and
// no decision waits. The leader judges that, and tells every instance. Messages are rare then.
//
// Safety does not depend on it: leases are as long as ever and are counted as ever, and only asked for
// less often. A connection that ends is noticed at once, calm or not.
const (
	// calmAfter is for how long nothing was at stake when all is calm.
	calmAfter = 3 * time.Second
	// calmReports is for how long the reports of an idle instance count at the leader. In calm
	// they come twice in that time.
	calmReports = health.IdleAge
	// calmTimeout is for how long the library of a follower waits for a heartbeat in calm. The
	// stream to the leader tells of its silence before.
	calmTimeout = 3 * time.Second
	// calmLook is how often the leader looks in calm, and each instance at its own timers; leaderRest
	// is how often the leader speaks at least.
	calmLook   = 500 * time.Millisecond
	leaderRest = 500 * time.Millisecond
)

// idle tells whether the connections of this instance were not used lately.
func idle(all []reachability.Observation) bool {
	return !slices.ContainsFunc(all, func(o reachability.Observation) bool { return o.InUse })
}

// stirred notes what is at stake, and tells whether all is calm. quiet says that no decision waits. Caller
// holds mu.
func (t *term) stirred(now time.Duration, view *state.State, quiet bool) (calm bool) {
	if !quiet || view.Index != t.seen || !t.allIdle(now, view) {
		t.seen, t.stakes = view.Index, now
	}
	return now-t.stakes >= calmAfter
}

// allIdle tells whether every registered instance was heard of lately, is idle, and finds every
// storage well. Caller holds mu.
func (t *term) allIdle(now time.Duration, view *state.State) bool {
	for _, in := range view.Instances {
		last, ok := t.known.Received[in.ID]
		if !ok || last.For == 0 || now-last.At > lately {
			return false
		}
	}
	return true
}

// becomes takes whether all is calm, and reports whether that is news. At the end of the calm the
// heartbeats of the library are back at their pace before any follower hears of it. Caller holds mu.
func (t *term) becomes(calm bool) (news bool) {
	if t.calm == calm {
		return false
	}
	t.calm = calm
	if !calm {
		for id := range t.known.Received {
			t.s.node.SetPace(id, t.Term, 0)
		}
	}
	t.s.node.Affirm(calm)
	return true
}

// pace sets the pace of heartbeats to an instance that has told its timeout. Three fit into it.
// Caller holds mu.
func (t *term) pace(id string, timeout time.Duration) {
	if !t.calm {
		timeout = 0
	}
	t.s.node.SetPace(id, t.Term, timeout/3)
}

// takeCalm takes the news of the leader whether all is calm. Only the receiver of the stream calls it.
func (w *messages) takeCalm(m *lease.FromLeader) {
	calm := m.CalmMillis > 0
	if calm == w.calm.Load() {
		return
	}
	w.calm.Store(calm)
	if w.leads {
		return // it waits for no heartbeat
	}
	if calm {
		w.s.node.SetHeartbeatTimeout(calmTimeout)
	} else {
		w.s.node.HeardLeader(m.Term) // the library has heard nothing for longer than it waits from now on
		w.s.node.SetHeartbeatTimeout(0)
	}
	w.s.mu.Lock()
	w.s.tell()
	w.s.mu.Unlock()
}
