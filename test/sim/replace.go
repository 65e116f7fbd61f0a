package sim

import (
	"math/rand/v2"
	"time"
)

// changes tells in which schedules operators replace instances. It draws from nothing: all other
// schedules stay as they are.
func changes(seed uint64) bool { return seed%16 == 1 || seed%16 == 14 }

// changeMembers has operators replace instances, one after the other: one whose host is lost, or
// one that runs; by another with an empty directory, which joins before or afterwards.
func (w *simulation) changeMembers() {
	if !changes(w.seed) {
		return
	}
	w.setup.changes = true
	draw := rand.New(rand.NewPCG(w.seed, 13))
	w.after(upTo(draw, w.setup.span/2), func() { w.replace(draw) })
}

// upTo draws a time below d.
func upTo(draw *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(draw.Int64N(int64(d)))
}

// replacement is the work of an operator on one instance.
type replacement struct {
	victim *instance
	// said: the operator says that it is gone before it is removed.
	said bool
	// joined: the other one has been started.
	joined bool
}

// replace begins to replace an instance, unless the faults are over.
func (w *simulation) replace(draw *rand.Rand) {
	if w.quiet {
		return
	}
	members := w.history.config.servers
	p := &replacement{victim: w.instances[members[draw.IntN(len(members))].index]}
	dead, first := draw.IntN(2) == 0, draw.IntN(3) == 0
	p.said = draw.IntN(2) == 0
	if len(w.history.config.voters()) < 3 { // it grows first
		if len(members) < 3 {
			w.newcomer(p.victim)
		}
		w.after(time.Second+upTo(draw, 3*time.Second), func() { w.replace(draw) })
		return
	}
	w.replacing = true
	w.tracef("%s is to be replaced; its host is lost: %v, another joins first: %v", p.victim.name, dead, first)
	if dead {
		w.leave(p.victim)
	}
	if first {
		p.joined = true
		w.newcomer(p.victim)
	}
	w.after(upTo(draw, 2*time.Second), func() { w.proceed(draw, p) })
}

// proceed goes on until the instance is no member.
func (w *simulation) proceed(draw *rand.Rand, p *replacement) {
	if !w.history.config.has(p.victim.index) {
		if !p.joined {
			w.newcomer(p.victim)
		}
		w.replacing = false
		w.after(time.Second+upTo(draw, 3*time.Second), func() { w.replace(draw) })
		return
	}
	l := w.leader()
	switch {
	case l == nil:
	case l.in == p.victim:
		l.handOver(draw)
	default:
		if p.said {
			l.declareGone(p.victim)
		}
		l.remove(p.victim)
	}
	w.after(50*time.Millisecond+upTo(draw, 250*time.Millisecond), func() { w.proceed(draw, p) })
}

// leave ends an instance for good: its host is lost, or it was told that it was removed.
func (w *simulation) leave(in *instance) {
	if in.up {
		in.crash()
	}
	in.gone = true
	w.tracef("%s is gone for good", in.name)
}

// newcomer starts an instance with an empty directory where another one was.
func (w *simulation) newcomer(former *instance) { w.newcomerWith(former, &durable{}) }

// newcomerWith starts an instance with another identity where another one was.
func (w *simulation) newcomerWith(former *instance, disk *durable) {
	in := newInstance(w, len(w.instances))
	in.disk = disk
	in.node, in.founding = former.node, &configuration{}
	w.instances = append(w.instances, in)
	w.edited = append(w.edited, w.edited[former.index])
	for _, peer := range w.instances {
		if r := peer.raft; r != nil {
			r.next, r.match, r.heard = append(r.next, 0), append(r.match, 0), append(r.heard, 0)
			r.beats = append(r.beats, beat{})
		}
	}
	w.tracef("%s begins where %s was, with a log of %d entries", in.name, former.name, len(disk.log))
	in.begin()
}
