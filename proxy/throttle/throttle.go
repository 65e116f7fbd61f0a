package throttle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	// ErrFull refuses a write because as many wait as may.
	ErrFull = errors.New("too many writes wait (limits.max_waiting_writes); try again when the load is lower")
	// ErrLate refuses a write that would wait for a large part of the time until its deadline, or end
	// after it.
	ErrLate = errors.New("the storages are asked for more writes than they can do, and this one would wait too long for its deadline; " +
		"try again when the load is lower, or with a later deadline")
)

// placeFor is how long a write holds a place at most: one of which the client sends slowly waits for
// its client, and burdens no storage.
const placeFor = 10 * time.Second

// Config bounds the writes of each virtual storage.
type Config struct {
	// Most is how many may be at work at a time; 256 if zero.
	Most int
	// Waiting is how many more may wait; 1000 if zero.
	Waiting int
}

func (c Config) withDefaults() Config {
	if c.Most == 0 {
		c.Most = 256
	}
	if c.Waiting == 0 {
		c.Waiting = 1000
	}
	return c
}

// Throttle gives places to the writes of this instance. It is safe for concurrent use.
type Throttle struct {
	cfg     Config
	metrics *metrics

	mu    sync.Mutex
	gates map[string]*measured // by virtual storage; guarded by mu
}

// New makes a Throttle whose metrics are registered with r if that is not nil.
func New(cfg Config, r prometheus.Registerer) *Throttle {
	return &Throttle{cfg: cfg.withDefaults(), metrics: newMetrics(r), gates: make(map[string]*measured)}
}

// Place is the place of one write. The caller calls Leave.
type Place struct {
	throttle       *Throttle
	virtualStorage string
	write          *waiter
	began          time.Time

	held, away bool // it has the place; it waits for something else; guarded by Throttle.mu
	timer      *time.Timer
}

// Enter waits for a place for a write of a virtual storage; kind is its method. Both names are kept:
// there must be such a virtual storage, and such a method. The error is ErrFull, ErrLate or that of
// ctx.
func (t *Throttle) Enter(ctx context.Context, virtualStorage, kind string) (*Place, error) {
	arrived := time.Now()
	w := &waiter{kind: kind, answer: make(chan error, 1)}
	p := &Place{throttle: t, virtualStorage: virtualStorage, write: w}
	if until, ok := ctx.Deadline(); ok {
		w.until, w.given = until, until.Sub(arrived)
	}
	if err := t.wait(ctx, virtualStorage, w); err != nil {
		return nil, err
	}
	p.held, p.began = true, time.Now()
	p.timer = time.AfterFunc(placeFor, func() { t.step(virtualStorage, p.free) })
	return p, nil
}

// wait waits until a write is inside.
func (t *Throttle) wait(ctx context.Context, virtualStorage string, w *waiter) error {
	var refusal error
	waits := false
	t.step(virtualStorage, func(g *gate) {
		refusal = g.enter(time.Now(), w)
		waits = slices.Contains(g.waiting, w)
	})
	if waits {
		select {
		case refusal = <-w.answer:
		case <-ctx.Done():
			refusal = t.giveUp(virtualStorage, w, ctx.Err())
		}
	}
	if refusal != nil {
		t.metrics.refuse(virtualStorage, refusal)
		return fmt.Errorf("virtual storage %q: %w", virtualStorage, refusal)
	}
	return nil
}

// giveUp takes a write out of the line whose client is gone. If it was let in meanwhile its place
// goes to the next one.
func (t *Throttle) giveUp(virtualStorage string, w *waiter, cause error) error {
	t.step(virtualStorage, func(g *gate) {
		select {
		case err := <-w.answer:
			if err == nil {
				g.leave(time.Now())
			}
		default:
			g.waiting = slices.DeleteFunc(g.waiting, func(o *waiter) bool { return o == w })
		}
	})
	return cause
}

// Aside gives the place to another write, because this one waits for something else than a storage:
// its time says nothing of the storages until it is back.
func (p *Place) Aside() {
	p.throttle.step(p.virtualStorage, func(g *gate) {
		p.away = true
		p.free(g)
	})
}

// free frees the place if it is held. Caller holds Throttle.mu.
func (p *Place) free(g *gate) {
	if p.held {
		p.held = false
		g.leave(time.Now())
	}
}

// Back waits for a place again after Aside, ahead of the writes that never had one. The write then
// counts anew, for a bounded time. The error is ErrLate or that of ctx.
func (p *Place) Back(ctx context.Context) error {
	p.timer.Stop()
	gone := false
	p.throttle.step(p.virtualStorage, func(*gate) { gone = !p.held })
	if gone {
		p.write.back = true
		if err := p.throttle.wait(ctx, p.virtualStorage, p.write); err != nil {
			return err
		}
	}
	p.throttle.step(p.virtualStorage, func(*gate) { p.held, p.away = p.held || gone, false })
	p.began = time.Now()
	p.timer.Reset(placeFor)
	return nil
}

// Leave frees the place. err is how the write ended, and sent when its client had sent all of it,
// zero if it has not: the time of a write before says nothing of the storages.
func (p *Place) Leave(err error, sent time.Time) {
	p.timer.Stop()
	now := time.Now()
	began := p.began
	if sent.After(began) {
		began = sent
	}
	w := p.write
	r := result{kind: w.kind, took: now.Sub(began), given: w.given, done: err == nil, outOfTime: !w.until.IsZero() && !now.Before(w.until)}
	p.throttle.step(p.virtualStorage, func(g *gate) {
		if !sent.IsZero() && !p.away {
			g.learn(now, r)
		}
		if p.held {
			p.held = false
			g.leave(now)
		} else {
			g.letIn(now) // the bound may have grown
		}
	})
}

// step lets the gate of a virtual storage decide, and shows the result.
func (t *Throttle) step(virtualStorage string, decide func(*gate)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gates[virtualStorage]
	if g == nil {
		g = t.metrics.measure(virtualStorage, newGate(t.cfg))
		t.gates[virtualStorage] = g
	}
	decide(g.gate)
	g.show()
}
