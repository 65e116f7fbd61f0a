package storage

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// audience is the RPCs that another storage can answer if the storage of a connection says
// nothing. They learn it by the end of a context, which all of one silence share.
type audience struct {
	now atomic.Pointer[spell]
}

// spell is a time in which the storage is heard. It ends when the storage stalls, and
// another one begins; or when it has fallen silent, for good.
type spell struct {
	ctx  context.Context
	end  context.CancelCauseFunc
	last atomic.Bool
}

func newSpell() *spell {
	s := new(spell)
	s.ctx, s.end = context.WithCancelCause(context.Background())
	return s
}

func (a *audience) init() { a.now.Store(newSpell()) }

// left tells whether the storage has fallen silent.
func (a *audience) left() bool { return a.now.Load().last.Load() }

// stall has the RPCs go elsewhere that have no answer yet. The others may go on when the
// storage does. The goroutine that watches the connection calls it, and fallSilent.
func (c *Conn) stall(cause error) {
	old := c.audience.now.Swap(newSpell())
	old.end(status.Error(codes.Unavailable, unreachable(c.target, cause).Error()))
	c.yieldFrames()
}

// fallSilent ends the contexts that WhileAudible returned.
func (c *Conn) fallSilent(cause error) {
	now := c.audience.now.Load()
	now.last.Store(true)
	now.end(status.Error(codes.Unavailable, unreachable(c.target, cause).Error()))
	c.closeFrames(unreachable(c.target, cause))
}

// WhileAudible returns a context that ends with ctx, or when the storage fell
// silent, before or after the connection was given up: then its cause is a status,
// UNAVAILABLE. It also ends so when the storage stalls while answered reports false.
// It is for RPCs that another storage can answer; without it they go on, in case the
// storage comes back. The caller calls done. answered is called by other goroutines.
func (c *Conn) WhileAudible(ctx context.Context, answered func() bool) (audible context.Context, done func()) {
	l := &listener{conn: c, answered: answered}
	ctx, l.cancel = context.WithCancelCause(ctx)
	l.listen()
	return ctx, l.done
}

// listener is one RPC of an audience.
type listener struct {
	conn     *Conn
	answered func() bool
	cancel   context.CancelCauseFunc

	mu    sync.Mutex
	ended bool        // guarded by mu
	stop  func() bool // guarded by mu
}

func (l *listener) listen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended {
		return
	}
	s := l.conn.audience.now.Load()
	l.stop = context.AfterFunc(s.ctx, func() {
		if s.last.Load() || !l.answered() {
			l.cancel(context.Cause(s.ctx))
			return
		}
		l.listen()
	})
}

func (l *listener) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.stop()
	l.cancel(nil)
}
