package sim

import "time"

// join sees to it that the instance is a member, and that the leader makes voters of the members
// that have caught up, as consensus/join.go and promote.go do.
func (in *instance) join(t *task) {
	heard := in.now()
	since := make(map[int]time.Duration) // since when non-voters have caught up
	for {
		t.sleep(250 * time.Millisecond)
		r := in.raft
		member := r.config.has(in.index)
		if member && r.configAt <= r.commit {
			in.disk.member = true
		}
		if r.leading {
			heard = in.now()
			r.promote(since)
			continue
		}
		clear(since)
		if r.leader >= 0 {
			heard = in.now()
		}
		if member && in.now()-heard < missed {
			continue
		}
		for _, peer := range in.w.instances {
			if peer != in && peer.up && in.apply(t, peer) {
				break
			}
		}
	}
}

const (
	// missed is how long a member that hears of no leader waits before it asks whether it is one still.
	missed = 1500 * time.Millisecond
	// steadyFor is how long a non-voter must have caught up to become a voter.
	steadyFor = 500 * time.Millisecond
)

// apply asks an instance, which answers if it leads, to be let in. It reports whether it did.
func (in *instance) apply(t *task, to *instance) bool {
	var answer reply[bool] // removed
	life := in.life
	w := in.w
	w.net.datagram(in.node, to.process, func() {
		r := to.raft
		if !r.leading {
			return
		}
		removed := !r.config.has(in.index) && in.disk.member
		if !r.config.has(in.index) && !removed {
			r.reconfigure(r.config.with(server{index: in.index}))
		}
		w.net.datagram(to.node, in.process, func() {
			if in.life == life {
				answer.set(removed)
			}
		})
	})
	if !answer.wait(t, 300*time.Millisecond) {
		return false
	}
	if answer.value {
		w.tracef("%s is told that it was removed", in.name)
		w.after(0, func() { w.leave(in) })
	}
	return true
}

// promote makes voters of the non-voters that have caught up, so that their number is odd.
func (r *raft) promote(since map[int]time.Duration) {
	var steady []int
	for _, s := range r.config.servers {
		switch at, ok := since[s.index]; {
		case s.voter, r.match[s.index] < r.commit, r.in.now()-r.heard[s.index] > electionMin:
			delete(since, s.index)
		case !ok:
			since[s.index] = r.in.now()
		case r.in.now()-at >= steadyFor:
			steady = append(steady, s.index)
		}
	}
	if needed := 1 + len(r.config.voters())%2; len(steady) >= needed {
		r.reconfigure(r.config.with(server{steady[0], true}))
	}
}

// remove takes a member out of the cluster, at the request of an operator, whether the member is
// there or gone: not the leader, and not if the remaining members that can be reached would be no
// quorum.
func (l *leader) remove(in *instance) {
	r := l.in.raft
	if !l.leading() || in == l.in || !r.config.has(in.index) {
		return
	}
	left := r.config.without(in.index)
	alive := 0
	for _, i := range left.voters() {
		peer := l.in.w.instances[i]
		if peer.up && peer.paused <= l.in.w.now && l.in.w.net.both(l.in.node, peer.node) {
			alive++
		}
	}
	if r.config.votes(in.index) && alive <= len(left.voters())/2 {
		return
	}
	r.reconfigure(left)
}

// declareGone notes that an operator says that an instance is gone, unless it was heard of lately.
func (l *leader) declareGone(in *instance) {
	gone, _ := l.known.DeclareGone(l.in.now(), l.in.raft.view, l.in.ledger.inc, in.id, "") // refused, it is asked for again
	for _, inc := range gone {
		l.in.w.tracef("%s: an operator says that %d is gone", l.in.name, inc)
	}
}

// lately is for how long it counts that an instance was heard of. In calm that is less often.
func (w *simulation) lately() time.Duration {
	if w.setup.rests {
		return time.Second
	}
	return 400 * time.Millisecond
}
