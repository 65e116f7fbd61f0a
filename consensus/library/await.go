package library

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// EnqueueTimeout bounds the wait until the library's main loop has taken an entry.
const EnqueueTimeout = time.Second

// Await starts something in the library and waits until it has ended, ctx ends
// or the store fails. The library's futures can only be waited for without
// bound, and some never end when it is shut down in between.
func Await[F raft.Future](ctx context.Context, l *Library, start func() F) (F, error) {
	ended := make(chan F, 1)
	l.attempts.Go(func() {
		f := start()
		_ = f.Error() // waits; the receiver of the future asks again
		ended <- f
	})
	var none F
	select {
	case f := <-ended:
		return f, f.Error()
	case <-l.disk.Guard.Healthy.Done():
		return none, l.disk.Guard.Failure()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}
