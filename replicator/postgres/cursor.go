package postgres

import (
	"sync"
	"time"

	"praefect/replicator/queue"
)

// Claims look from the start of the queue every lookBack, or more rarely when that is slow: it may take a fiftieth of the
// time.
const (
	lookBack      = 2 * time.Second
	lookBackShare = 50
)

// cursor remembers where in the order of claims the last one of each virtual storage ended, so that the next begins
// there. Claimed jobs leave entries at the head of the index until vacuum has been, which it cannot while an old snapshot
// lives (a dump of the database, say); each claim from the start would step over all of them.
//
// Nearly every job becomes due later than the jobs that were claimed before it. The exceptions, jobs that were locked or
// not yet committed when the cursor passed them, are found by the next claim from the start.
type cursor struct {
	mu sync.Mutex
	at map[string]position // by virtual storage; guarded by mu
}

type position struct {
	from     time.Time // due time of the last claimed job
	fullNext time.Time // when to look from the start again
}

// look is where one claim begins.
type look struct {
	from  time.Time // zero: at the start
	began time.Time
}

func newCursor() *cursor { return &cursor{at: make(map[string]position)} }

func (c *cursor) look(virtualStorage string, now time.Time) look {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.at[virtualStorage]
	if !now.Before(p.fullNext) {
		return look{began: now}
	}
	return look{from: p.from, began: now}
}

// looked takes the jobs of a claim, in its order.
func (c *cursor) looked(virtualStorage string, l look, jobs []queue.Job, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.at[virtualStorage]
	if l.from.IsZero() {
		p.fullNext = now.Add(max(lookBack, lookBackShare*now.Sub(l.began)))
	}
	if len(jobs) > 0 {
		p.from = jobs[len(jobs)-1].NotBefore
	}
	c.at[virtualStorage] = p
}
