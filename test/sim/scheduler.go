package sim

import "time"

// event is something that happens at one moment of the true time.
type event struct {
	at  time.Duration
	seq uint64 // orders the events of one moment, as they were scheduled
	run func()
}

// before orders events.
func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// agenda is a heap of events, the soonest first. It is written out because
// container/heap, with a value in an interface for each event, takes a quarter of
// the time of a schedule.
type agenda []event

// add puts an event where it belongs.
func (a *agenda) add(e event) {
	h := append(*a, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&h[parent]) {
			break
		}
		h[i], i = h[parent], parent
	}
	h[i] = e
	*a = h
}

// soonest takes the first event out; there must be one.
func (a *agenda) soonest() event {
	h := *a
	first, last := h[0], h[len(h)-1]
	h[len(h)-1] = event{}
	h = h[:len(h)-1]
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1].before(&h[child]) {
			child++
		}
		if child >= len(h) || !h[child].before(&last) {
			h[i] = last
			break
		}
		h[i], i = h[child], child
	}
	*a = h
	return first
}

// at schedules run for a moment of the true time, not before now.
func (w *simulation) at(when time.Duration, run func()) {
	w.seq++
	w.agenda.add(event{max(when, w.now), w.seq, run})
}

// after schedules run after a true time.
func (w *simulation) after(d time.Duration, run func()) { w.at(w.now+d, run) }

// run lets things happen until the true time, or until a promise is broken.
func (w *simulation) run(until time.Duration) {
	for w.failure == nil && !w.over && len(w.agenda) > 0 && w.agenda[0].at <= until {
		e := w.agenda.soonest()
		w.now = e.at
		w.events++
		e.run()
	}
	if w.failure == nil {
		w.now = max(w.now, until)
	}
}

// between draws a time of [low, high).
func (w *simulation) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rand.Int64N(int64(high-low)))
}

// chance is true with probability p.
func (w *simulation) chance(p float64) bool { return p > 0 && w.rand.Float64() < p }

// pick draws one of the values.
func pick[T any](w *simulation, values ...T) T { return values[w.rand.IntN(len(values))] }
