package workload

import (
	"context"
	"time"
)

// Pass lets a time go by, or returns why ctx ended before.
func Pass(ctx context.Context, d time.Duration) error {
	Wait(ctx, d)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// Wait lets a time go by, at most until ctx ends: the caller sees that by ctx.
func Wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
