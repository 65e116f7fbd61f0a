package session

import (
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/lease"
)

// becomes takes whether all is calm, and reports whether that is news. At the end of the calm the
// heartbeats of the library are back at their pace before any follower hears of it. Caller holds mu.
func (t *term) becomes(calm bool) (news bool) {
	if !t.known.Becomes(calm) {
		return false
	}
	if !calm {
		for id := range t.known.Received {
			t.pace(id, 0)
		}
	}
	t.s.node.Affirm(calm)
	return true
}

// pace sets the pace of heartbeats to an instance that has told its timeout. Caller holds mu.
func (t *term) pace(id string, timeout time.Duration) {
	t.s.node.SetPace(id, t.Term, t.known.Pace(timeout))
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
		w.s.node.SetHeartbeatTimeout(elector.CalmTimeout)
	} else {
		w.s.node.HeardLeader(m.Term) // the library has heard nothing for longer than it waits from now on
		w.s.node.SetHeartbeatTimeout(0)
	}
	w.s.mu.Lock()
	w.s.tell()
	w.s.mu.Unlock()
}
