package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// Guard takes the instance out of the cluster when its store errs or hangs.
// The library would go on: it keeps a leader whose disk hangs permanently, it may elect one again
// whose disk errs, and it retries writes that must not be retried (after a failed fsync the kernel
// may have dropped the data).
type Guard struct {
	bound time.Duration
	// Healthy ends at the first failure, which is its cause; Fail ends it.
	Healthy context.Context
	Fail    context.CancelCauseFunc
	// armed tells that the goroutine that meets a failure ends. Once the library runs, all that
	// call the store are goroutines of its own, and it panics at some of the places where it gets
	// an error, and goes on at others.
	armed atomic.Bool
}

func newGuard(bound time.Duration) *Guard {
	g := &Guard{bound: bound}
	g.Healthy, g.Fail = context.WithCancelCause(context.Background())
	return g
}

// do makes a call to the store. After the first failure it makes none.
func (g *Guard) do(op string, call func() error) error {
	if err := g.Failure(); err != nil {
		return g.leave(err)
	}
	late := time.AfterFunc(g.bound, func() {
		g.Fail(fmt.Errorf("%s: the disk has not answered for %v", op, g.bound))
	})
	err := call()
	late.Stop()
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		g.Fail(fmt.Errorf("%s: %w", op, err))
	}
	if failure := g.Failure(); failure != nil {
		return g.leave(failure)
	}
	return err
}

func (g *Guard) leave(err error) error {
	if g.armed.Load() {
		runtime.Goexit()
	}
	return err
}

// Arm makes each goroutine that meets a failure end, from now on.
func (g *Guard) Arm() { g.armed.Store(true) }

// Failure returns the first failure, or nil.
func (g *Guard) Failure() error {
	if g.Healthy.Err() == nil {
		return nil
	}
	return context.Cause(g.Healthy)
}
