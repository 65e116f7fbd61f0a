package throttle

import (
	"slices"
	"time"
)

const (
	// first is the bound of a virtual storage before anything is known of its storages, and least
	// the lowest: so many writes always fit. The bound grows fast while writes end fast; of too many at
	// the beginning none would end in time.
	first, least = 16, 16
	// A write that took longer than slow is a sign of too many writes if it also took longer than
	// its time over muchOf, and a sign of enough of them if longer than that over littleOf.
	slow     = time.Second
	muchOf   = 4
	littleOf = 8
	// shrinkEvery is the time between two steps down, of which each leaves shrinkBy in 4 of the
	// places.
	shrinkEvery, shrinkBy = time.Second, 3
	// usualWeight is the weight of the past in the usual duration of a kind of write, against 1 for the
	// newest, and usualPart the quarters of that without which a write is hopeless.
	usualWeight, usualPart = 3, 3
)

// gate decides about the writes of one virtual storage. It has no clock: each call says the time it
// is.
type gate struct {
	most, longest int // of places, and of writes that wait
	limit         float64
	inside        int
	waiting       []*waiter // in the order of arrival
	pace          Pace
	// starting tells that no write has taken long yet: the bound grows faster until then.
	starting bool
	shrunk   time.Time
	usual    map[string]time.Duration // the duration of writes, by kind
}

// waiter is a write in the line. answer holds 1.
type waiter struct {
	kind   string
	until  time.Time     // its deadline; zero: none
	given  time.Duration // from its arrival until then
	back   bool          // it had a place before
	answer chan error
}

func newGate(cfg Config) *gate {
	return &gate{most: cfg.Most, longest: cfg.Waiting, limit: float64(min(first, cfg.Most)), starting: true, usual: make(map[string]time.Duration)}
}

// room tells whether another write may go to work.
func (g *gate) room() bool { return g.inside < int(g.limit) }

// enter decides about a write that arrives: it is inside, or waits if w is in the line afterwards,
// or is refused.
func (g *gate) enter(now time.Time, w *waiter) error {
	turn := len(g.waiting)
	if w.back {
		turn = g.back()
	}
	switch {
	case turn == 0 && g.room():
		g.inside++
		return nil
	case g.late(now, w, g.pace.Wait(turn)), !w.back && !w.until.IsZero() && g.pace.TooLong(now, turn, w.given):
		return ErrLate
	case len(g.waiting) >= g.longest && !w.back:
		return ErrFull
	}
	g.waiting = slices.Insert(g.waiting, turn, w)
	return nil
}

// back counts the writes that had a place before: they wait ahead of those that have not begun.
func (g *gate) back() (n int) {
	for n < len(g.waiting) && g.waiting[n].back {
		n++
	}
	return n
}

// late tells whether a write that still waits for so long is too late: it would have much less time
// left than such writes take. One that has half of its time left is given the chance.
func (g *gate) late(now time.Time, w *waiter, wait time.Duration) bool {
	return !w.until.IsZero() && w.until.Sub(now) < wait+min(g.usual[w.kind]*usualPart/4, w.given/2)
}

// leave frees a place and lets writes in that wait.
func (g *gate) leave(now time.Time) {
	g.inside--
	g.letIn(now)
}

// letIn lets writes in while there is room. One that would be too late is refused.
func (g *gate) letIn(now time.Time) {
	for len(g.waiting) > 0 && g.room() {
		w := g.waiting[0]
		g.waiting = g.waiting[1:]
		if g.late(now, w, 0) {
			w.answer <- ErrLate
			continue
		}
		g.inside++
		g.pace.Moved(now, len(g.waiting))
		w.answer <- nil
	}
}

// result is how a write went: it took so long of the time that its client gave it, 0 for no bound.
type result struct {
	kind        string
	took, given time.Duration
	// done tells that it succeeded, outOfTime that its deadline passed.
	done, outOfTime bool
}

// congested tells that the write went as writes do of which there are too many.
func (r result) congested() bool {
	return r.took >= slow && (r.outOfTime || r.given > 0 && r.took > r.given/muchOf)
}

// quick tells that the write went as writes do of which there may be more.
func (r result) quick() bool {
	return r.done && (r.took < slow || r.given == 0 || r.took <= r.given/littleOf)
}

// learn adapts the bound to how a write went. The caller counts the write as inside.
func (g *gate) learn(now time.Time, r result) {
	if r.done || r.outOfTime {
		usual, known := g.usual[r.kind]
		if !known {
			usual = r.took
		}
		g.usual[r.kind] = (usualWeight*usual + r.took) / (usualWeight + 1)
	}
	floor := float64(min(least, g.most))
	if r.done && !r.quick() {
		g.starting = false
	}
	switch {
	case r.congested():
		if now.Sub(g.shrunk) < shrinkEvery || float64(g.inside) <= floor {
			return
		}
		g.limit = max(floor, min(g.limit, float64(g.inside))*shrinkBy/4)
		g.shrunk, g.starting = now, false
	case r.quick() && g.inside >= int(g.limit):
		step := 1 / g.limit
		if g.starting {
			step = 1
		}
		g.limit = min(float64(g.most), g.limit+step)
	}
}
