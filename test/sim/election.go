package sim

import (
	"time"
)

// arm sets the timer of the next election anew.
func (r *raft) arm() {
	r.election++
	election := r.election
	r.in.after(r.in.w.between(r.waits(), max(electionMax, 2*r.patience)), func() {
		if r.election == election && !r.leading {
			r.campaign()
		}
	})
}

// campaign asks whether it would be voted for, and only then begins a new term:
// an instance that was cut off must not depose a leader when it comes back.
func (r *raft) campaign() {
	r.arm()
	r.leader = -1
	if r.config.votes(r.in.index) {
		r.poll(r.term+1, true, false)
	}
}

// poll asks every voter for a vote, or whether there would be one. handed tells that the
// leader wants it so.
func (r *raft) poll(term uint64, pre, handed bool) {
	r.votes = 0
	if !pre {
		r.adopt(term)
		r.voted = r.in.index + 1
		r.arm()
	}
	r.count(term, pre)
	last, lastTerm := len(r.log), r.lastTerm()
	for _, s := range r.config.servers {
		if s.voter && s.index != r.in.index && !r.leading {
			r.send(s.index, func(p *raft) { p.vote(candidacy{r.in.index, term, last, lastTerm, pre, handed}) })
		}
	}
}

// count counts a vote.
func (r *raft) count(term uint64, pre bool) {
	switch r.votes++; {
	case !r.majority(r.votes):
	case pre:
		r.poll(term, false, false)
	default:
		r.lead()
	}
}

func (r *raft) majority(n int) bool { return 2*n > len(r.config.voters()) }

func (r *raft) lastTerm() uint64 {
	if len(r.log) == 0 {
		return 0
	}
	return r.log[len(r.log)-1].term
}

// adopt goes to a later term, as a follower without a leader.
func (r *raft) adopt(term uint64) {
	if term > r.term {
		r.term, r.voted = term, 0
		r.leader = -1
	}
	r.stepDown()
}

func (r *raft) stepDown() {
	if r.leading {
		r.leading, r.ready, r.handing = false, false, false
		r.leader = -1
		r.in.w.tracef("%s steps down from term %d", r.in.name, r.term)
		r.changed.notify()
		r.in.leadership()
		r.arm()
	}
}

// candidacy asks for a vote.
type candidacy struct {
	from        int
	term        uint64
	last        int // the end of the candidate's log
	lastTerm    uint64
	pre, handed bool
}

func (r *raft) vote(c candidacy) {
	if !c.handed && (r.in.now()-r.lastHeard < r.waits() || r.leading && r.quorumHeard(electionMin)) {
		return // there is a leader
	}
	newer := c.lastTerm > r.lastTerm() || c.lastTerm == r.lastTerm() && c.last >= len(r.log)
	if c.term < r.term || !newer {
		return
	}
	if !c.pre {
		if c.term > r.term {
			r.adopt(c.term)
		}
		if r.voted != 0 && r.voted != c.from+1 {
			return
		}
		r.voted = c.from + 1
		r.arm()
	}
	r.send(c.from, func(p *raft) {
		waits := p.term == c.term
		if c.pre {
			waits = p.term+1 == c.term
		}
		if waits && p.leader < 0 {
			p.count(c.term, c.pre)
		}
	})
}

func (r *raft) lead() {
	r.leading, r.leader = true, r.in.index
	r.in.w.cov.Elections++
	if r.handed == r.term {
		r.in.w.cov.Transfers++
		r.in.w.cov.UndisturbedTransfers += btoi(r.in.w.setup.undisturbed)
	}
	r.in.w.tracef("%s leads term %d", r.in.name, r.term)
	for i := range r.next {
		r.next[i], r.match[i], r.heard[i], r.beats[i].pace = len(r.log), 0, r.in.now(), 0
	}
	r.log = append(r.log, entry{term: r.term})
	term := r.term
	var beat func()
	beat = func() {
		if !r.leading || r.term != term {
			return
		}
		if !r.in.w.setup.zombies && !r.quorumHeard(electionMin) {
			r.stepDown()
			return
		}
		r.beat()
		r.in.after(heartbeat, beat)
	}
	beat()
	r.advance()
	r.changed.notify()
}

// quorumHeard reports whether a majority answered within d.
func (r *raft) quorumHeard(d time.Duration) bool {
	n := 1
	for _, i := range r.config.voters() {
		if i != r.in.index && r.in.now()-r.heard[i] < d {
			n++
		}
	}
	return r.majority(n)
}
