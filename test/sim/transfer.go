package sim

import (
	"math/rand/v2"
	"time"
)

// transfers tells in which schedules leadership is moved at random moments, and in which of these
// schedules nothing else goes wrong. It draws from nothing: all other schedules stay as they are.
func transfers(seed uint64) (moves, undisturbed bool) {
	return seed%16 == 6 || seed%16 == 13, seed%32 >= 16
}

// moveLeadership moves leadership again and again until the faults are over.
func (w *simulation) moveLeadership() {
	moves, undisturbed := transfers(w.seed)
	if !moves || len(w.instances) == 1 {
		return
	}
	if w.setup.undisturbed = undisturbed; undisturbed {
		w.setup.fragile = 0
	}
	draw := rand.New(rand.NewPCG(w.seed, 11))
	w.repeatFrom(draw, upTo(draw, time.Second), 20*time.Millisecond, 1520*time.Millisecond, func() {
		if l := w.leader(); l != nil {
			l.handOver(draw)
		}
	})
}

// handOver has the leader hand over to any of the voters.
func (l *leader) handOver(draw *rand.Rand) {
	voters := l.in.raft.config.voters()
	l.in.raft.transfer(voters[draw.IntN(len(voters))])
}

// transfer hands leadership over to another instance, as LeadershipTransfer of the library does:
// the leader takes no more entries, and once the other one has them all tells it to stand for
// election at once. If that takes too long the leader goes on.
func (r *raft) transfer(to int) {
	if !r.leading || r.handing || to == r.in.index {
		return
	}
	r.handing = true
	term, until, told := r.term, r.in.now()+electionMax, false
	r.in.w.tracef("%s hands over to %s", r.in.name, r.in.w.instances[to].name)
	var look func()
	look = func() {
		switch {
		case !r.leading || r.term != term:
			return
		case r.in.now() > until:
			r.handing = false
			return
		case told:
		case r.match[to] == len(r.log):
			told = true
			r.send(to, func(p *raft) { p.timeoutNow(term) })
		default:
			r.replicate()
		}
		r.in.after(10*time.Millisecond, look)
	}
	look()
}

// timeoutNow stands for election because the leader of the term wants it so.
func (r *raft) timeoutNow(term uint64) {
	if r.term != term || r.leading || !r.config.votes(r.in.index) {
		return
	}
	r.leader = -1
	r.handed = r.term + 1
	r.poll(r.term+1, false, true)
}
