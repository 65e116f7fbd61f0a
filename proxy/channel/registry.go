package channel

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc/metadata"
)

// IDHeader is the metadata key by which a call names the sidechannel that its
// client waits with.
const IDHeader = "gitaly-sidechannel-id"

// ErrNotOpened is the error of a waiter if the server opened no sidechannel.
var ErrNotOpened = errors.New("the server opened no sidechannel")

// Registry has the calls that wait for sidechannels. Ids mean nothing outside of it.
// The zero value is ready, nil has none, and it is safe for concurrent use.
type Registry struct {
	mu      sync.Mutex
	last    int64             // guarded by mu
	waiters map[int64]*Waiter // guarded by mu
}

// Expect begins to wait for the sidechannel of one call, which is to be made
// with the context returned. When the server opens it, handle is called, once
// and on a goroutine of the waiter; the sidechannel is closed when it returns,
// and cut off when ctx ends. The waiter must be closed.
func (r *Registry) Expect(ctx context.Context, handle func(context.Context, *ClientEnd) error) (context.Context, *Waiter) {
	w := &Waiter{registry: r, ctx: ctx, handle: handle, done: make(chan struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	w.id = r.last
	if r.waiters == nil {
		r.waiters = make(map[int64]*Waiter)
	}
	r.waiters[w.id] = w
	md, _ := metadata.FromOutgoingContext(ctx) // a copy
	if md == nil {
		md = metadata.MD{}
	}
	md.Set(IDHeader, strconv.FormatInt(w.id, 10)) // in the place of any other's
	return metadata.NewOutgoingContext(ctx, md), w
}

// take gives a stream to the call that waits for it, if one does.
func (r *Registry) take(id int64, stream *yamux.Stream) bool {
	if r == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiters[id]
	if w == nil {
		return false
	}
	delete(r.waiters, id)
	w.end = &ClientEnd{end: end{stream: stream, call: w.ctx}}
	go w.run() // until done is closed
	return true
}

// Waiter waits for one sidechannel.
type Waiter struct {
	registry *Registry
	id       int64
	ctx      context.Context
	handle   func(context.Context, *ClientEnd) error

	end *ClientEnd // guarded by registry.mu; nil while nothing came

	done chan struct{} // closed when handle has returned err
	err  error
}

// Opened reports whether the server has opened the sidechannel.
func (w *Waiter) Opened() bool {
	w.registry.mu.Lock()
	defer w.registry.mu.Unlock()
	return w.end != nil
}

// Close ends the waiting, and returns ErrNotOpened if it was in vain. It is
// called when the call has ended. If handle runs, Close waits for it and returns
// its error: there may be something yet to read. A server that sends nothing
// more, nor the end, is given up after a moment.
func (w *Waiter) Close() error {
	if !w.stop() {
		return ErrNotOpened
	}
	<-w.done
	return w.err
}

func (w *Waiter) stop() (opened bool) {
	w.registry.mu.Lock()
	defer w.registry.mu.Unlock()
	if w.end == nil {
		delete(w.registry.waiters, w.id)
		return false
	}
	w.end.last()
	return true
}

func (w *Waiter) run() {
	defer close(w.done)
	defer w.end.close()
	stop := context.AfterFunc(w.ctx, w.end.cut)
	defer stop()
	if w.err = w.end.confirm(); w.err == nil {
		w.err = w.handle(w.ctx, w.end)
	}
}
