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

// entry is one entry of the log. Without anything but a term it is the first of that term.
type entry struct {
	term   uint64
	batch  *state.Batch
	config *configuration // the members from here on
	// recovered is the state with which a cluster goes on after a recovery.
	recovered *state.State
}

// durable is the content of an instance's disk.
type durable struct {
	term  uint64
	voted int // +1; 0: for no one in this term
	log   []entry
	// member tells that the instance was sure to be a member once, and registered that
	// it has told the others of itself.
	member, registered bool
}

// raft is the ordered log as one instance runs it: a small Raft, so that a
// leader may be deposed unawares, and the entries that it had not committed may survive
// or not. The code built on it is tried here, not its safety.
type raft struct {
	in *instance
	*durable

	leader    int // its index, -1 if unknown
	leading   bool
	ready     bool   // an entry of this term is applied
	handing   bool   // leadership over to another instance: no entry is taken meanwhile
	handed    uint64 // the term in which it stands for election because the leader wants it so
	config    *configuration
	configAt  int // the place of its entry, 0 if it is that of the beginning
	commit    int // entries known to be committed
	votes     int
	next      []int // of each instance: how many entries it is thought to have
	match     []int
	heard     []time.Duration // when each instance last answered
	lastHeard time.Duration   // from the leader
	patience  time.Duration   // for how long it waits for the leader in calm
	beats     []beat          // to each instance
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
		beats: make([]beat, n),
	}
	r.lastHeard = in.now() - time.Hour
	r.reconfigured()
	r.arm()
	return r
}

// send runs fn at another instance if the message arrives there.
func (r *raft) send(to int, fn func(peer *raft)) {
	in := r.in.w.instances[to]
	r.in.w.net.datagram(r.in.node, in.process, func() { fn(in.raft) })
}

// append puts a batch into the leader's log and returns its place.
func (r *raft) append(b *state.Batch) int {
	r.log = append(r.log, entry{term: r.term, batch: b})
	r.replicate()
	r.advance()
	return len(r.log)
}

// replicate sends every instance the entries that it is thought to lack.
func (r *raft) replicate() {
	for _, s := range r.config.servers {
		if s.index != r.in.index {
			r.replicateTo(s.index)
		}
	}
}

// replicateTo sends one instance the entries that it is thought to lack.
func (r *raft) replicateTo(i int) {
	before := min(r.next[i], len(r.log))
	var beforeTerm uint64
	if before > 0 {
		beforeTerm = r.log[before-1].term
	}
	term, commit, tail := r.term, r.commit, slices.Clone(r.log[before:])
	r.next[i] = len(r.log) // it will arrive, most likely
	r.send(i, func(p *raft) { p.appendEntries(r.in.index, term, before, beforeTerm, tail, commit) })
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
		r.reconfigured()
		has = before + len(tail)
		r.learn(min(commit, has))
	}
	r.send(from, func(p *raft) {
		if p.term != term || !p.leading {
			return
		}
		p.heard[r.in.index], p.beats[r.in.index].answered = p.in.now(), true
		if !ok {
			p.next[r.in.index] = max(has, 0)
			return
		}
		p.match[r.in.index] = max(p.match[r.in.index], has)
		p.next[r.in.index] = max(p.next[r.in.index], has)
		p.advance()
	})
}

// advance commits the entries that a majority has, if the last one is of this term.
func (r *raft) advance() {
	r.match[r.in.index] = len(r.log)
	var sorted []int
	for _, i := range r.config.voters() {
		sorted = append(sorted, r.match[i])
	}
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

// learn applies the entries known to be committed, soon.
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

// apply brings the view to the last committed entry.
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
