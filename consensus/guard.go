package consensus

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

// guard takes the instance out of the cluster when its store errs or hangs.
// The library would go on: it keeps a leader whose disk hangs permanently, it may elect one again
// whose disk errs, and it retries writes that must not be retried (after a failed fsync the kernel
// may have dropped the data).
type guard struct {
	bound time.Duration
	// healthy ends at the first failure, which is its cause.
	healthy context.Context
	fail    context.CancelCauseFunc
	// armed tells that the goroutine that meets a failure ends. Once the library runs, all that
	// call the store are goroutines of its own, and it panics at some of the places where it gets
	// an error, and goes on at others.
	armed atomic.Bool
}

func newGuard(bound time.Duration) *guard {
	g := &guard{bound: bound}
	g.healthy, g.fail = context.WithCancelCause(context.Background())
	return g
}

// do makes a call to the store. After the first failure it makes none.
func (g *guard) do(op string, call func() error) error {
	if err := g.failure(); err != nil {
		return g.leave(err)
	}
	late := time.AfterFunc(g.bound, func() {
		g.fail(fmt.Errorf("%s: the disk has not answered for %v", op, g.bound))
	})
	err := call()
	late.Stop()
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) && !errors.Is(err, raftboltdb.ErrKeyNotFound) {
		g.fail(fmt.Errorf("%s: %w", op, err))
	}
	if failure := g.failure(); failure != nil {
		return g.leave(failure)
	}
	return err
}

func (g *guard) leave(err error) error {
	if g.armed.Load() {
		runtime.Goexit()
	}
	return err
}

// failure returns the first failure, or nil.
func (g *guard) failure() error {
	if g.healthy.Err() == nil {
		return nil
	}
	return context.Cause(g.healthy)
}
