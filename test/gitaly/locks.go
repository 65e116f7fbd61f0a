package gitaly

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// placeLockWait bounds the wait for another call that makes, removes or
// changes the same thing.
const placeLockWait = 10 * time.Second

// locks are held by path while a change is voted on that is not git's: two of
// them must not come about in different orders on different storages.
type locks struct {
	mu   sync.Mutex
	held map[string]chan struct{} // closed when it is released; guarded by mu
}

// acquire takes a lock; its error is a status.
func (l *locks) acquire(ctx context.Context, path string) (release func(), err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, placeLockWait, status.Errorf(codes.Aborted, "%q is being changed", filepath.Base(path)))
	defer cancel()
	for {
		l.mu.Lock()
		released, taken := l.held[path]
		if !taken {
			if l.held == nil {
				l.held = make(map[string]chan struct{})
			}
			mine := make(chan struct{})
			l.held[path] = mine
			l.mu.Unlock()
			return func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				delete(l.held, path)
				close(mine)
			}, nil
		}
		l.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return nil, wire.Fault(context.Cause(ctx), "lock")
		}
	}
}
