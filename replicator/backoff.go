package replicator

import (
	"math"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const (
	// invalidatedBeforePause and busyBeforePause are how often in a row a repair is
	// invalidated, or finds a write in flight, before it makes writes wait. A
	// invalidated one has copied, so that the next has less to do.
	invalidatedBeforePause = 2
	busyBeforePause        = 10
	// busyDelayMin and busyDelayMax bound the wait before a repair that met a
	// write is tried again.
	busyDelayMin = 200 * time.Millisecond
	busyDelayMax = 2 * time.Second
	// backoffsKept bounds the memory of backoffs. For one beyond it another is
	// forgotten: that repository is treated as if nothing had been the matter.
	backoffsKept = 4096
)

// backOff counts the obstacles that kept repairs of a repository from their end, since
// one last got there.
type backOff struct {
	busy, invalidated, pauses int
	// timeouts is how often a copy did not end in its time.
	timeouts int
	// poolWaits is how often a repair waited for the pool to link to.
	poolWaits int
	// until is when the next repair may begin. A job may come sooner: each
	// write asks for one.
	until time.Time
}

// pausesWrites reports whether the next repair should make writes wait.
func (s backOff) pausesWrites() bool {
	return s.invalidated >= invalidatedBeforePause || s.busy >= busyBeforePause
}

// reason is the reason for which the next repair waits.
func (s backOff) reason() plan.Reason {
	switch {
	case s.pauses > 0 || s.pausesWrites():
		return plan.PauseBudget
	case s.busy+s.invalidated > 0:
		return plan.Write
	}
	return ""
}

// delay is how long to wait before the next repair; random is from [0,1).
func (s backOff) delay(longest time.Duration, random float64) time.Duration {
	if s.pauses > 0 {
		// Writers have waited in vain: give them more and more time between.
		return backOffAfter(busyDelayMax, longest, s.pauses, random)
	}
	return backOffAfter(busyDelayMin, busyDelayMax, s.busy+s.invalidated, random)
}

// backOffAfter is the wait after the n-th failure in a row, the first being 1: from
// shortest, doubling, up to longest, and ±20 % by random, from [0,1).
func backOffAfter(shortest, longest time.Duration, n int, random float64) time.Duration {
	d := float64(shortest) * math.Pow(2, float64(max(n, 1)-1))
	d = min(d, float64(longest))
	return time.Duration(d * (0.8 + 0.4*random))
}

// backoffs remembers the back-off of the repositories that this process could
// not repair so far.
type backoffs struct {
	mu sync.Mutex
	of map[state.Key]backOff // guarded by mu
}

func (p *backoffs) get(key state.Key) backOff {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[key]
}

// left is how long the next repair of the repository has to wait.
func (p *backoffs) left(key state.Key) time.Duration {
	return max(0, time.Until(p.get(key).until))
}

// metWrite counts one more repair that met a write, and returns the backOff; the
// next begins after a delay, of at most longest, and random from [0,1).
func (p *backoffs) metWrite(key state.Key, paused, invalidated bool, longest time.Duration, random float64) backOff {
	return p.add(key, func(s *backOff) {
		switch {
		case paused:
			s.pauses++
		case invalidated:
			s.invalidated++
		default:
			s.busy++
		}
		s.until = time.Now().Add(s.delay(longest, random))
	})
}

// timedOut counts one more repair whose copies did not end in their time.
func (p *backoffs) timedOut(key state.Key) { p.add(key, func(s *backOff) { s.timeouts++ }) }

// waitsForPool counts one more repair that waits for a pool, and tells how many have.
func (p *backoffs) waitsForPool(key state.Key) int {
	return p.add(key, func(s *backOff) { s.poolWaits++ }).poolWaits
}

func (p *backoffs) add(key state.Key, count func(*backOff)) backOff {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[state.Key]backOff)
	}
	s, known := p.of[key]
	count(&s)
	if !known && len(p.of) >= backoffsKept {
		for other := range p.of {
			delete(p.of, other)
			break
		}
	}
	p.of[key] = s
	return s
}

func (p *backoffs) forget(key state.Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, key)
}
