package workload

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Kind is the kind of an operation.
type Kind string

// The kinds of operations.
const (
	Write Kind = "write"
	Read  Kind = "read"
)

// Event is one operation of a client, from its begin to its answer.
type Event struct {
	Kind Kind
	// Client is the number of the client.
	Client int
	// Home is the label of the instance that the client was put to; empty if that is
	// not known.
	Home         string
	Path         string
	Began, Ended time.Time
	// Err is nil if it was acknowledged.
	Err error
}

// Window is the part of the events that figures are about.
type Window struct {
	// From is when it begins: an operation that ended before does not count.
	From time.Time
	// to is when the clients were told to stop: an operation begun by then counts, but
	// there is no pause any more.
	to time.Time
	// Hit is the home whose clients are counted apart; empty if none is.
	Hit string
	// Unavailable are the repositories that the cluster declared so: reads of them
	// are not expected to succeed.
	Unavailable map[string]bool
}

// Figures say how clients fared.
type Figures struct {
	// Gap is the longest time without an acknowledged write of any client.
	Gap time.Duration
	// Writes and Reads are how many succeeded.
	Writes, Reads int
	// WritesFailed and ReadsFailed are how many did not, without the clients of the
	// hit instance, and without reads of unavailable repositories.
	WritesFailed, ReadsFailed int
	// Slowest is the longest that one of these clients waited for an answer.
	Slowest time.Duration
	// HitFailed is how many operations of the hit instance's clients failed.
	HitFailed int
	// HitUntil is when, after the window's begin, their last write was acknowledged.
	HitUntil time.Duration
	// HitBack is when each of them had been served again, of the clients that were.
	HitBack time.Duration
	// Faults are some of the failures that were counted, for people.
	Faults []string
}

// Figures are the figures of a window; the traffic has been stopped.
func (t *Traffic) Figures(w Window) Figures {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.to = t.stopped
	return figures(t.events, w)
}

// Acknowledged is how many writes were acknowledged so far.
func (t *Traffic) Acknowledged() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.made)
}

func figures(events []Event, w Window) Figures {
	events = slices.Clone(events)
	slices.SortFunc(events, func(a, b Event) int { return a.Ended.Compare(b.Ended) })
	f := Figures{Gap: gap(events, w)}
	back := make(map[int]bool)
	for _, e := range events {
		switch {
		case e.Ended.Before(w.From):
			continue
		case w.Hit != "" && e.Home == w.Hit:
			f.fate(e, back, w.From)
			continue
		case e.Kind == Read && e.Err != nil && w.Unavailable[e.Path]:
			continue
		}
		f.Slowest = max(f.Slowest, e.Ended.Sub(later(e.Began, w.From)))
		f.count(e)
	}
	return f
}

// gap is the longest time without an acknowledged write in a window; the write that was
// acknowledged last before it begins the first one.
func gap(events []Event, w Window) (longest time.Duration) {
	last := w.From
	for _, e := range events {
		if e.Kind != Write || e.Err != nil || e.Ended.After(w.to) {
			continue
		}
		if !e.Ended.Before(w.From) {
			longest = max(longest, e.Ended.Sub(last))
		}
		last = e.Ended
	}
	return max(longest, w.to.Sub(last))
}

// count adds an operation of a client that was not hit.
func (f *Figures) count(e Event) {
	switch {
	case e.Err == nil && e.Kind == Write:
		f.Writes++
	case e.Err == nil:
		f.Reads++
	case e.Kind == Write:
		f.WritesFailed++
	default:
		f.ReadsFailed++
	}
	if e.Err != nil {
		f.Faults = append(f.Faults, fmt.Sprintf("%s at %s after %v: %v", e.Began.Format("15:04:05.000"),
			cmp.Or(e.Home, "the balancer"), e.Ended.Sub(e.Began).Round(time.Millisecond), e.Err))
	}
}

// fate adds an operation of a client of the hit instance; back has the clients that
// were served again already.
func (f *Figures) fate(e Event, back map[int]bool, from time.Time) {
	if e.Err != nil {
		f.HitFailed++
		return
	}
	if e.Kind == Write {
		f.HitUntil = e.Ended.Sub(from)
	}
	if !back[e.Client] && !e.Began.Before(from) {
		back[e.Client] = true
		f.HitBack = max(f.HitBack, e.Ended.Sub(from))
	}
}

// Several are the least, the middle and the greatest of some durations, in
// milliseconds.
type Several struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// Spread sums durations up.
func Spread(all []time.Duration) Several {
	if len(all) == 0 {
		return Several{}
	}
	sorted := slices.Sorted(slices.Values(all))
	in := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	middle := (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
	return Several{Min: in(sorted[0]), Median: in(middle), Max: in(sorted[len(sorted)-1])}
}

// Percentile is the least of some durations, in milliseconds, that so many in a
// hundred do not exceed.
func Percentile(all []time.Duration, percent int) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	rank := (len(sorted)*percent + 99) / 100
	return float64(sorted[max(rank, 1)-1].Microseconds()) / 1000
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
