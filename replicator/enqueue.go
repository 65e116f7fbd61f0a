package replicator

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// enqueueBatch bounds one call to the queue.
const enqueueBatch = 500

// enqueuer hands repositories to the queue, now or when the queue is back.
// A caller of add never waits. If we die, or it overflows, the reconciler finds in the
// ledger the repositories that were lost here.
type enqueuer struct {
	backlog  *backlog
	request  func(key state.Key, reason string) (queue.Request, bool)
	limit    int
	log      *slog.Logger
	metrics  *Metrics
	flushed  func() // called when jobs were enqueued
	overflow func() // called when the queue has room again for the dropped repositories

	wake chan struct{} // holds 1: run looks again

	mu      sync.Mutex
	pending map[state.Key]struct{} // guarded by mu
	dropped bool                   // since the last flush; guarded by mu
}

// add asks for a job for the repository, soon.
func (e *enqueuer) add(key state.Key) {
	e.mu.Lock()
	_, known := e.pending[key]
	switch {
	case known:
	case len(e.pending) < e.limit:
		e.pending[key] = struct{}{}
	default:
		e.dropped = true
		e.metrics.dropped.Inc()
	}
	e.mu.Unlock()
	wake(e.wake)
}

// run flushes until ctx ends.
func (e *enqueuer) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		more, err := e.flush(ctx)
		switch {
		case err != nil:
			failures++
			pause(ctx, backOffAfter(queueDelayMin, queueDelayMax, failures, rand.Float64()))
		case more:
			failures = 0
		default:
			failures = 0
			await(ctx, e.wake)
		}
	}
}

// flush enqueues one batch and reports whether there is more. After an error
// the batch is pending again.
func (e *enqueuer) flush(ctx context.Context) (more bool, err error) {
	batch := e.take()
	requests := make([]queue.Request, 0, len(batch))
	for _, key := range batch {
		// Nothing can be done, for a storage that is away perhaps: the
		// reconciler makes the job when it is back.
		if request, due := e.request(key, "write"); due {
			requests = append(requests, request)
		}
	}
	if len(requests) > 0 {
		err := e.backlog.call(ctx, func(ctx context.Context) error { return e.backlog.queue.Enqueue(ctx, requests) })
		switch {
		case err == nil:
		case errors.Is(err, queue.ErrInvalid):
			// They never could be; the others are enqueued.
			e.log.Error("repositories that the queue cannot name are not repaired", "err", err)
		default:
			e.putBack(batch)
			return true, err
		}
		e.flushed()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.pending) == 0 && e.dropped {
		e.dropped = false
		e.overflow()
	}
	return len(e.pending) > 0, nil
}

func (e *enqueuer) take() []state.Key {
	e.mu.Lock()
	defer e.mu.Unlock()
	batch := make([]state.Key, 0, min(len(e.pending), enqueueBatch))
	for key := range e.pending {
		if len(batch) == enqueueBatch {
			break
		}
		batch = append(batch, key)
		delete(e.pending, key)
	}
	return batch
}

func (e *enqueuer) putBack(batch []state.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, key := range batch {
		e.pending[key] = struct{}{}
	}
}

// await waits for a wake-up, or until ctx ends.
func await(ctx context.Context, woken <-chan struct{}) {
	select {
	case <-woken:
	case <-ctx.Done():
	}
}

// wake makes the goroutine that waits on ch, which holds 1, look again.
func wake(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
