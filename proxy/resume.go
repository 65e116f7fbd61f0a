package proxy

import (
	"context"
	"sync"
	"time"

	"praefect/fsm/state"
)

const (
	// resumedAtOnce is how many writes of a repository that have waited for a primary are sent to
	// it at a time. What came in seconds would start its gits in one moment otherwise, and the
	// first of them would end when all do.
	resumedAtOnce = 2
	// resumedFor is how long a write waits for those before it, and keeps others waiting.
	resumedFor = 2 * time.Second
)

// resumption has the writes of a repository that have waited for a primary go on a few at a
// time, in the order in which they got one. Writes that come later do not wait. The zero
// value is ready.
type resumption struct {
	mu    sync.Mutex
	gates map[state.Key]*resumeGate // guarded by mu
}

// resumeGate is the writes of one repository that go on.
type resumeGate struct {
	places chan struct{}
	users  int // waiting or gone on; guarded by resumption.mu
}

// enter waits for the turn of a write, for resumedFor at most, or until ctx ends. The caller
// calls leave, once, when the write is not under way any more.
func (r *resumption) enter(ctx context.Context, key state.Key) (leave func()) {
	gate := r.join(key)
	late := time.NewTimer(resumedFor)
	defer late.Stop()
	select {
	case gate.places <- struct{}{}:
	case <-late.C:
		return func() { r.part(key, gate) }
	case <-ctx.Done():
		return func() { r.part(key, gate) }
	}
	free := sync.OnceFunc(func() { <-gate.places })
	timer := time.AfterFunc(resumedFor, free)
	return func() {
		timer.Stop()
		free()
		r.part(key, gate)
	}
}

func (r *resumption) join(key state.Key) *resumeGate {
	r.mu.Lock()
	defer r.mu.Unlock()
	gate := r.gates[key]
	if gate == nil {
		if r.gates == nil {
			r.gates = make(map[state.Key]*resumeGate)
		}
		gate = &resumeGate{places: make(chan struct{}, resumedAtOnce)}
		r.gates[key] = gate
	}
	gate.users++
	return gate
}

func (r *resumption) part(key state.Key, gate *resumeGate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gate.users--; gate.users == 0 {
		delete(r.gates, key)
	}
}
