package consensus

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"praefect/fsm/state"
)

// request is the commands of one Propose on their way to an answer. The fields
// below done are set before it is closed.
type request struct {
	commands []state.Command
	done     chan struct{}
	results  []state.Result
	err      error
}

// answer ends the request.
func (r *request) answer(results []state.Result, err error) {
	r.results, r.err = results, err
	close(r.done)
}

// queue holds the requests that wait for a batch, in the order of their coming.
// It is closed until open, and for good after close.
type queue struct {
	limit int           // of commands
	wake  chan struct{} // a wake-up for take

	mu       sync.Mutex
	closed   error // why nothing may be added, nil while open
	waiting  []*request
	commands int // in waiting
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1), closed: notProposed("the instance is not ready")}
}

func (q *queue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = nil
}

// add appends the request.
func (q *queue) add(r *request) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	if q.commands+len(r.commands) > q.limit {
		return fmt.Errorf("%w: %d commands wait", ErrQueueFull, q.commands)
	}
	q.waiting, q.commands = append(q.waiting, r), q.commands+len(r.commands)
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return nil
}

// remove takes the request out; it reports false if it is in a batch already.
func (q *queue) remove(r *request) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, r)
	if i < 0 {
		return false
	}
	q.waiting, q.commands = slices.Delete(q.waiting, i, i+1), q.commands-len(r.commands)
	return true
}

// take waits for requests and takes the first ones that fit into a batch of at
// most limit commands; nil when ctx ends. No request has more than limit.
func (q *queue) take(ctx context.Context, limit int) []*request {
	for ctx.Err() == nil {
		if taken := q.tryTake(limit); taken != nil {
			return taken
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

func (q *queue) tryTake(limit int) []*request {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, commands := 0, 0
	for n < len(q.waiting) && commands+len(q.waiting[n].commands) <= limit {
		commands += len(q.waiting[n].commands)
		n++
	}
	if n == 0 {
		return nil
	}
	taken := slices.Clone(q.waiting[:n])
	q.waiting, q.commands = slices.Delete(q.waiting, 0, n), q.commands-commands
	return taken
}

// close ends all that wait, and every later add, with the error.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = err
	for _, r := range q.waiting {
		r.answer(nil, err)
	}
	q.waiting, q.commands = nil, 0
}

// len returns how many commands wait.
func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.commands
}
