package replicator

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"praefect/replicator/queue"
)

const (
	// queueDelayMin and queueDelayMax bound the wait before a queue that is
	// away is tried again.
	queueDelayMin = 100 * time.Millisecond
	queueDelayMax = 2 * time.Second
)

// backlog is the queue as the replicator uses it: each call is bounded, and the queue's
// return is told to the parts that recover then. The queue itself logs, once a change,
// that it is away.
type backlog struct {
	queue     queue.Queue
	timeout   time.Duration
	log       *slog.Logger
	metrics   *Metrics
	recovered func() // called when the queue answers again

	mu   sync.Mutex
	away bool // guarded by mu
	// fault is the last error that was no outage, "" since the last success;
	// guarded by mu.
	fault string
}

// call makes one call to the queue and notes whether it answered.
func (b *backlog) call(ctx context.Context, call func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := call(bounded)
	if ctx.Err() != nil {
		return err // we stopped; that says nothing about the queue
	}
	away := errors.Is(err, queue.ErrUnavailable) || bounded.Err() != nil && err != nil
	fault := ""
	if err != nil && !away && !errors.Is(err, queue.ErrInvalid) && !errors.Is(err, queue.ErrStaleAttempt) {
		fault = err.Error()
	}
	b.mu.Lock()
	back, news := b.away && !away, fault != "" && fault != b.fault
	b.away, b.fault = away, fault
	b.mu.Unlock()
	if news {
		b.log.Error("the replication queue fails", "err", err)
	}
	if back {
		b.recovered()
	}
	if away {
		b.metrics.available.Set(0)
	} else {
		b.metrics.available.Set(1)
	}
	return err
}

// answers reports whether the queue answered the last call.
func (b *backlog) answers() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.away
}
