package replicator

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"praefect/fsm/repair"
)

const (
	// slotWait is how long a repair waits for its turn at a storage where no copy has succeeded lately,
	// before its job goes back to the queue. Where one has, within slotWaitMost, it waits for
	// slotWaitMost: its turn comes soon, and a job that goes back costs the queue more than the wait.
	slotWait     = 250 * time.Millisecond
	slotWaitMost = 5 * time.Second
	// slotDelay is the step by which the delays of jobs grow that go back: each one that was turned
	// away waits a step longer than the one before.
	slotDelay = 500 * time.Millisecond
	// slotFailures is how many copies in a row fail at a storage before it is tried with
	// one at a time.
	slotFailures = 3
)

// slots bounds how many repairs copy onto a storage at a time, so that one whose copies
// hang keeps no repair of another storage waiting. It is safe for concurrent use.
type slots struct {
	limit   int // of each storage
	metrics *Metrics

	mu     sync.Mutex
	places map[place]*slot // guarded by mu
}

// slot is the knowledge about the copies onto one storage. It is guarded by slots.mu.
type slot struct {
	running  int
	failures int // in a row
	turned   int // repairs turned away since the last that was not
	// succeeded is when a copy last did.
	succeeded time.Time
	freed     chan struct{} // closed when a repair has ended there
}

func newSlots(limit int, metrics *Metrics) *slots {
	return &slots{limit: limit, metrics: metrics, places: make(map[place]*slot)}
}

// grant is the turn of one repair at some storages. A nil grant is one without bounds.
type grant struct {
	slots          *slots
	virtualStorage string
	held           map[string]bool // by storage
}

// take gives a repair its turn at the targets that have room, and waits a
// moment if none has. With none the repair is to be tried again after a while.
func (s *slots) take(ctx context.Context, virtualStorage string, targets []string) (*grant, time.Duration) {
	timer := time.NewTimer(s.turnTimeout(virtualStorage, targets))
	defer timer.Stop()
	for {
		g, freed, wait := s.try(virtualStorage, targets)
		if g != nil || freed == nil {
			return g, wait
		}
		select {
		case <-freed:
			continue
		case <-timer.C:
		case <-ctx.Done():
		}
		return s.turnAway(virtualStorage, targets)
	}
}

// turnTimeout is how long a repair waits for its turn at one of the storages.
func (s *slots) turnTimeout(virtualStorage string, targets []string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, target := range targets {
		if at := s.places[place{virtualStorage, target}]; at != nil && time.Since(at.succeeded) < slotWaitMost {
			return slotWaitMost
		}
	}
	return slotWait
}

// try gives a turn at once, or returns the channel to wait on: nil where copies fail,
// which may take long.
func (s *slots) try(virtualStorage string, targets []string) (*grant, <-chan struct{}, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := &grant{slots: s, virtualStorage: virtualStorage, held: make(map[string]bool)}
	var freed <-chan struct{}
	for _, target := range targets {
		at := s.at(place{virtualStorage, target})
		switch {
		case at.running < at.limit(s.limit):
			at.running++
			at.turned = 0
			g.held[target] = true
		case at.failures < slotFailures:
			freed = at.freed
		}
	}
	switch {
	case len(g.held) > 0:
		return g, nil, 0
	case freed != nil:
		return nil, freed, 0
	}
	return nil, nil, s.turn(virtualStorage, targets)
}

func (s *slots) turnAway(virtualStorage string, targets []string) (*grant, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return nil, s.turn(virtualStorage, targets)
}

// turn counts a repair that was turned away, and returns when to try it again. The caller
// holds mu.
func (s *slots) turn(virtualStorage string, targets []string) time.Duration {
	delay := waitLongest
	for _, target := range targets {
		at := s.at(place{virtualStorage, target})
		at.turned++
		s.metrics.turnedAway.WithLabelValues(virtualStorage, target).Inc()
		delay = min(delay, time.Duration(at.turned)*slotDelay)
	}
	return backOffAfter(delay, delay, 1, rand.Float64())
}

// at is the slot of a storage. The caller holds mu.
func (s *slots) at(p place) *slot {
	at := s.places[p]
	if at == nil {
		at = &slot{freed: make(chan struct{})}
		s.places[p] = at
	}
	return at
}

// limit is how many repairs may copy onto the storage at a time.
func (s *slot) limit(most int) int {
	if s.failures >= slotFailures {
		return 1
	}
	return most
}

// widen gives the repair its turn also at the targets that have room now, and returns
// them.
func (g *grant) widen(targets []string) []string {
	if g == nil {
		return targets
	}
	more, _, _ := g.slots.try(g.virtualStorage, targets)
	if more == nil {
		return nil
	}
	g.slots.mu.Lock()
	defer g.slots.mu.Unlock()
	var room []string
	for _, target := range targets {
		if more.held[target] {
			g.held[target] = true
			room = append(room, target)
		}
	}
	return room
}

// has tells whether the repair may copy onto a storage.
func (g *grant) has(storage string) bool { return g == nil || g.held[storage] }

// ended ends the turn at a storage, where the copy has ended with err. One that met a
// write tells nothing of the storage.
func (g *grant) ended(storage string, err error) {
	if g == nil || !g.held[storage] {
		return
	}
	g.slots.mu.Lock()
	defer g.slots.mu.Unlock()
	at := g.slots.at(place{g.virtualStorage, storage})
	switch {
	case err == nil:
		at.failures, at.succeeded = 0, time.Now()
	case !errors.Is(err, repair.ErrInvalidated):
		at.failures++
	}
	g.leave(storage, at)
}

// end ends the turn at all storages where it has not ended.
func (g *grant) end() {
	if g == nil {
		return
	}
	g.slots.mu.Lock()
	defer g.slots.mu.Unlock()
	for storage := range g.held {
		g.leave(storage, g.slots.at(place{g.virtualStorage, storage}))
	}
}

// leave makes room. The caller holds the slots' mu.
func (g *grant) leave(storage string, at *slot) {
	delete(g.held, storage)
	at.running--
	close(at.freed)
	at.freed = make(chan struct{})
}
