package sim

import (
	"math/rand/v2"
	"time"
)

// Some faults are rare together, and rules stand against them. Whole schedules are made of these; they
// draw from numbers of their own, and all other schedules stay as they are.

// resets tells in which schedules connections to storages break again and again, and tardy in which of
// these the effects of calls come late as well.
func resets(seed uint64) (often, tardy bool) { return seed%16 == 10 || seed%16 == 15, seed%16 == 15 }

// flickers tells in which schedules instances lose their leases again and again, and views lag behind.
func flickers(seed uint64) bool { return seed%16 == 7 }

// releases tells in which schedules the storages run two releases.
func releases(seed uint64) bool { return seed%32 == 30 }

// upgraded gives some storages the newer release, the first one in half of the schedules.
func (w *simulation) upgraded() {
	if !releases(w.seed) {
		return
	}
	draw := rand.New(rand.NewPCG(w.seed, 23))
	for _, s := range w.storages {
		s.newer = draw.IntN(2) == 0
	}
}

// drawStorm draws the ingredients of schedules that have storms.
func (w *simulation) drawStorm() {
	s := &w.setup
	often, tardy := resets(w.seed)
	if often {
		s.confused = s.votes
	}
	if tardy { // a busy repository, whose repairs have to wait for writes
		s.tardy, s.paths, s.clients = true, 1, 4
		s.think, s.linger = min(s.think, 60*time.Millisecond), min(s.linger, 50*time.Millisecond)
	}
	s.sluggish = s.sluggish || flickers(w.seed)
}

// storm begins them.
func (w *simulation) storm() {
	draw := rand.New(rand.NewPCG(w.seed, 19))
	if often, _ := resets(w.seed); often {
		w.repeat(draw, 20*time.Millisecond, 400*time.Millisecond, func() { w.reset(draw) })
	}
	if flickers(w.seed) && len(w.instances) > 1 {
		w.repeat(draw, 300*time.Millisecond, 1500*time.Millisecond, func() { w.flicker(draw) })
	}
}

// repeat does something at random moments until the faults are over.
func (w *simulation) repeat(draw *rand.Rand, low, high time.Duration, do func()) {
	w.repeatFrom(draw, low+upTo(draw, high-low), low, high, do)
}

// repeatFrom is repeat, with its own time for the first moment.
func (w *simulation) repeatFrom(draw *rand.Rand, first, low, high time.Duration, do func()) {
	w.after(first, func() {
		if !w.quiet {
			if !w.lulls.on {
				do()
			}
			w.repeat(draw, low, high, do)
		}
	})
}

// reset breaks the connection of an instance to a storage, over which there are calls if possible.
func (w *simulation) reset(draw *rand.Rand) {
	in := w.instances[draw.IntN(len(w.instances))]
	if !in.up {
		return
	}
	first := draw.IntN(len(in.links))
	for i := range in.links {
		if l := in.links[(first+i)%len(in.links)]; l.conn != nil && len(l.pending) > 0 {
			w.cov.Resets++
			w.tracef("the connection of %s to %s breaks", in.name, l.st.name)
			l.hangUp(l.conn)
			return
		}
	}
}

// flicker cuts an instance off from the others until its lease has ended, and a moment longer.
func (w *simulation) flicker(draw *rand.Rand) {
	in := w.instances[draw.IntN(len(w.instances))]
	set := func(cut bool) {
		for _, peer := range w.instances {
			if peer.node != in.node {
				w.net.setBoth(in.node, peer.node, cut)
			}
		}
		w.check.quorum()
	}
	w.cov.Flickers++
	w.tracef("%s is cut off for a moment", in.name)
	set(true)
	w.after(w.setup.lease+upTo(draw, 600*time.Millisecond), func() { set(false) })
}
