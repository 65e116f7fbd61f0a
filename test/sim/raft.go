package sim

import (
	"slices"
	"time"

	"praefect/fsm/state"
)

// The profile of the ordered log, near that of the shipped one.
const (
	heartbeat   = 70 * time.Millisecond
	electionMin = 200 * time.Millisecond
	electionMax = 400 * time.Millisecond
)

// entry is one entry of the log. Without a batch it is the first of its term.
type entry struct {
	term  uint64
	batch *state.Batch
}

// durable is what an instance has on its disk.
type durable struct {
	term  uint64
	voted int // +1; 0: nobody in this term
	log   []entry
}

// raft is the ordered log as one instance runs it: a small Raft, so that a
// leader may be deposed unawares, and what it had not committed may survive or
// not. Its safety is not what is tried here, but what is built on it.
type raft struct {
	in *instance
	*durable

	leader    int // its index, -1 if unknown
	leading   bool
	ready     bool // an entry of this term is applied
	commit    int  // entries known to be committed
	votes     int
	next      []int // of each instance: how many entries it is thought to have
	match     []int
	heard     []time.Duration // when each instance last answered
	lastHeard time.Duration   // from the leader
	election  uint64          // counts timers, so that an old one finds itself replaced
	applied   int
	view      *state.State
	results   map[int][]state.Result // of the entries applied in this life, by position
	changed   signal                 // the view, or the leadership
}

func newRaft(in *instance) *raft {
	n := len(in.w.instances)
	r := &raft{
		in: in, durable: in.disk, leader: -1, view: &state.State{}, results: make(map[int][]state.Result),
		next: make([]int, n), match: make([]int, n), heard: make([]time.Duration, n),
	}
	r.lastHeard = in.now() - time.Hour
	r.arm()
	return r
}

// send runs fn at another instance if the message arrives there.
func (r *raft) send(to int, fn func(peer *raft)) {
	in := r.in.w.instances[to]
	r.in.w.net.datagram(r.in.node, in.process, func() { fn(in.raft) })
}

// arm sets the timer of the next election anew.
func (r *raft) arm() {
	r.election++
	election := r.election
	r.in.after(r.in.w.between(electionMin, electionMax), func() {
		if r.election == election && !r.leading {
			r.campaign()
		}
	})
}

// campaign asks whether it would be voted for, and only then begins a new term:
// who was cut off must not depose a leader when it comes back.
func (r *raft) campaign() {
	r.arm()
	r.leader = -1
	r.poll(r.term+1, true)
}

// poll asks everybody for a vote, or whether there would be one.
func (r *raft) poll(term uint64, pre bool) {
	r.votes = 0
	if !pre {
		r.adopt(term)
		r.voted = r.in.index + 1
		r.arm()
	}
	r.count(term, pre)
	last, lastTerm := len(r.log), r.lastTerm()
	for i := range r.in.w.instances {
		if i != r.in.index && !r.leading {
			r.send(i, func(p *raft) { p.vote(r.in.index, term, last, lastTerm, pre) })
		}
	}
}

// count counts a vote.
func (r *raft) count(term uint64, pre bool) {
	switch r.votes++; {
	case !r.majority(r.votes):
	case pre:
		r.poll(term, false)
	default:
		r.lead()
	}
}

func (r *raft) majority(n int) bool { return 2*n > len(r.in.w.instances) }

func (r *raft) lastTerm() uint64 {
	if len(r.log) == 0 {
		return 0
	}
	return r.log[len(r.log)-1].term
}

// adopt goes to a later term, as a follower of nobody.
func (r *raft) adopt(term uint64) {
	if term > r.term {
		r.term, r.voted = term, 0
		r.leader = -1
	}
	r.stepDown()
}

func (r *raft) stepDown() {
	if r.leading {
		r.leading, r.ready = false, false
		r.leader = -1
		r.in.w.tracef("%s steps down from term %d", r.in.name, r.term)
		r.changed.notify()
		r.in.leadership()
		r.arm()
	}
}

func (r *raft) vote(from int, term uint64, last int, lastTerm uint64, pre bool) {
	if r.in.now()-r.lastHeard < electionMin || r.leading && r.quorumHeard(electionMin) {
		return // there is a leader
	}
	newer := lastTerm > r.lastTerm() || lastTerm == r.lastTerm() && last >= len(r.log)
	if term < r.term || !newer {
		return
	}
	if !pre {
		if term > r.term {
			r.adopt(term)
		}
		if r.voted != 0 && r.voted != from+1 {
			return
		}
		r.voted = from + 1
		r.arm()
	}
	r.send(from, func(p *raft) {
		waits := p.term == term
		if pre {
			waits = p.term+1 == term
		}
		if waits && p.leader < 0 {
			p.count(term, pre)
		}
	})
}

func (r *raft) lead() {
	r.leading, r.leader = true, r.in.index
	r.in.w.cov.Elections++
	r.in.w.tracef("%s leads term %d", r.in.name, r.term)
	for i := range r.next {
		r.next[i], r.match[i], r.heard[i] = len(r.log), 0, r.in.now()
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
		r.replicate()
		r.in.after(heartbeat, beat)
	}
	beat()
	r.advance()
	r.changed.notify()
}

// quorumHeard reports whether a majority answered within d.
func (r *raft) quorumHeard(d time.Duration) bool {
	n := 1
	for i, at := range r.heard {
		if i != r.in.index && r.in.now()-at < d {
			n++
		}
	}
	return r.majority(n)
}

// appendTo puts a batch into the leader's log and returns its place.
func (r *raft) append(b *state.Batch) int {
	r.log = append(r.log, entry{r.term, b})
	r.replicate()
	r.advance()
	return len(r.log)
}

// replicate tells every instance what it is thought to lack.
func (r *raft) replicate() {
	for i := range r.in.w.instances {
		if i == r.in.index {
			continue
		}
		before := min(r.next[i], len(r.log))
		var beforeTerm uint64
		if before > 0 {
			beforeTerm = r.log[before-1].term
		}
		term, commit, tail := r.term, r.commit, slices.Clone(r.log[before:])
		r.next[i] = len(r.log) // it will arrive, most likely
		r.send(i, func(p *raft) { p.appendEntries(r.in.index, term, before, beforeTerm, tail, commit) })
	}
}

func (r *raft) appendEntries(from int, term uint64, before int, beforeTerm uint64, tail []entry, commit int) {
	if later := r.term; term < later {
		r.send(from, func(p *raft) {
			if p.term < later {
				p.adopt(later)
			}
		})
		return
	}
	if term > r.term || r.leading {
		r.adopt(term)
	}
	if r.leader != from {
		r.leader = from
		r.changed.notify()
	}
	r.lastHeard = r.in.now()
	r.arm()
	ok := before == 0 || before <= len(r.log) && r.log[before-1].term == beforeTerm
	has := min(len(r.log), before-1)
	if ok {
		for i, e := range tail {
			switch at := before + i; {
			case at == len(r.log):
				r.log = append(r.log, e)
			case r.log[at].term != e.term:
				r.log = append(r.log[:at:at], e)
			}
		}
		has = before + len(tail)
		r.learn(min(commit, has))
	}
	r.send(from, func(p *raft) {
		if p.term != term || !p.leading {
			return
		}
		p.heard[r.in.index] = p.in.now()
		if !ok {
			p.next[r.in.index] = max(has, 0)
			return
		}
		p.match[r.in.index] = max(p.match[r.in.index], has)
		p.next[r.in.index] = max(p.next[r.in.index], has)
		p.advance()
	})
}

// advance commits what a majority has, if it is of this term.
func (r *raft) advance() {
	r.match[r.in.index] = len(r.log)
	sorted := slices.Clone(r.match)
	slices.Sort(sorted)
	at := sorted[(len(sorted)-1)/2]
	if at > r.commit && r.log[at-1].term == r.term {
		r.learn(at)
		r.in.after(r.in.w.between(0, 5*time.Millisecond), func() {
			if r.leading {
				r.replicate() // so that the others learn of it
			}
		})
	}
}

// learn applies what is known to be committed, soon.
func (r *raft) learn(commit int) {
	if commit <= r.commit {
		return
	}
	r.commit = commit
	lag := r.in.w.moment()
	if r.in.lagging > r.in.w.now || r.in.w.setup.sluggish && !r.in.w.quiet {
		lag += r.in.w.between(0, 300*time.Millisecond)
		r.in.w.cov.LaggingViews++
	}
	lag = max(lag, r.in.hung-r.in.w.now)
	r.in.afterTrue(lag, r.apply)
}

// apply brings the view to what is committed.
func (r *raft) apply() {
	for r.applied < r.commit {
		e := r.log[r.applied]
		r.applied++
		st, results := r.in.w.history.apply(r.applied, e)
		r.view, r.results[r.applied] = st, results
		if r.leading && e.term == r.term {
			r.ready = true
		}
	}
	r.changed.notify()
	r.in.viewChanged()
}
