package sim

import (
	"container/heap"
	"time"
)

// event is something that happens at one moment of the true time.
type event struct {
	at  time.Duration
	seq uint64 // orders the events of one moment, as they were scheduled
	run func()
}

// agenda is a heap of events, the soonest first.
type agenda []event

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at < a[j].at || a[i].at == a[j].at && a[i].seq < a[j].seq
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(e any)   { *a = append(*a, e.(event)) }
func (a *agenda) Pop() any {
	old := *a
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*a = old[:len(old)-1]
	return e
}

// at schedules run for a moment of the true time, not before now.
func (w *world) at(when time.Duration, run func()) {
	w.seq++
	heap.Push(&w.agenda, event{max(when, w.now), w.seq, run})
}

// after schedules run after a true time.
func (w *world) after(d time.Duration, run func()) { w.at(w.now+d, run) }

// run lets things happen until the true time, or until a promise is broken.
func (w *world) run(until time.Duration) {
	for w.failure == nil && len(w.agenda) > 0 && w.agenda[0].at <= until {
		e := heap.Pop(&w.agenda).(event)
		w.now = e.at
		w.events++
		e.run()
	}
	if w.failure == nil {
		w.now = max(w.now, until)
	}
}

// between draws a time of [low, high).
func (w *world) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(w.rand.Int64N(int64(high-low)))
}

// chance is true with probability p.
func (w *world) chance(p float64) bool { return p > 0 && w.rand.Float64() < p }

// pick draws one of the values.
func pick[T any](w *world, values ...T) T { return values[w.rand.IntN(len(values))] }
