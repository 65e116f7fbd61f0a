package vote

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// lockWait bounds the wait for another call that makes, removes or
// changes the same thing.
const lockWait = 10 * time.Second

// Locks are held by name while a change is voted on that is not git's: two of
// them must not come about in different orders on different storages.
type Locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is released; guarded by mu
}

// Acquire takes a lock; its error is a status.
func (l *Locks) Acquire(ctx context.Context, name string) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockWait, status.Errorf(codes.Aborted, "%q is being changed", name))
	defer cancel()
	for {
		l.mu.Lock()
		released, taken := l.held[name]
		if !taken {
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			mine := make(chan struct{})
			l.held[name] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, name)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return nil, lockFault(ctx)
		}
	}
}

// lockFault is the status of a caller that waits no longer.
func lockFault(ctx context.Context) error {
	if fault, ok := status.FromError(context.Cause(ctx)); ok {
		return fault.Err()
	}
	return status.FromContextError(ctx.Err()).Err()
}
