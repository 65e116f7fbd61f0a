package proxy

import (
	"context"
	"sync"

	"praefect/proxy/stream"
)

// try is one attempt to send a write along a route, as far as others may give it
// up, in whole or at one storage, while it is under way. The ledger says so at any
// time after it named the route.
type try struct {
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	branches map[string]*stream.Branch // by storage; guarded by mu
	dropped  map[string]error          // guarded by mu
}

func newTry(ctx context.Context) *try {
	t := &try{branches: make(map[string]*stream.Branch), dropped: make(map[string]error)}
	t.ctx, t.cancel = context.WithCancelCause(ctx)
	return t
}

// drop ends the write at one storage.
func (t *try) drop(storage string, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropped[storage] = why
	if branch := t.branches[storage]; branch != nil {
		branch.Cancel(why)
	}
}

// add has a branch given up when its storage is dropped, or was.
func (t *try) add(storage string, branch *stream.Branch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.branches[storage] = branch
	if why := t.dropped[storage]; why != nil {
		branch.Cancel(why)
	}
}

// tries is the try of the moment. One that is over may be doomed still, in vain.
type tries struct {
	mu  sync.Mutex
	now *try // guarded by mu
}

// next begins another try, in a context of its own.
func (t *tries) next(ctx context.Context) *try {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now != nil {
		t.now.cancel(nil)
	}
	t.now = newTry(ctx)
	return t.now
}

func (t *tries) current() *try {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

func (t *tries) doom(why error)                 { t.current().cancel(why) }
func (t *tries) drop(storage string, why error) { t.current().drop(storage, why) }
