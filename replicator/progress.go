package replicator

import (
	"context"
	"errors"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const (
	// lookMost and lookLeast bound the time between two looks at the size of a replica that is
	// copied onto, of which there are looksInStill while it may show no progress.
	lookMost, lookLeast = time.Minute, 100 * time.Millisecond
	looksInStill        = 12
)

// errStalled ends a copy that shows no progress.
var errStalled = errors.New("the copy shows no progress")

// allow decides how long copies of a repository may take.
func (r *repairer) allow(ctx context.Context, key state.Key, p plan.Plan) plan.Allowance {
	size, err := r.calls.size(ctx, key, p.Primary)
	if err != nil {
		// It may be gone, or be a storage that does not tell; the doubling
		// finds the time that it takes.
		about(r.log, key).Debug("the size of a repository is not known", "err", err)
	}
	c := plan.Copying{
		Size: size, Floor: r.cfg.CopyFloor, Most: r.cfg.CopyTimeout, Rate: r.cfg.CopyRate, Timeouts: r.backoffs.get(key).timeouts,
	}
	allowed := c.Allow()
	if allowed.Still == 0 {
		return allowed
	}
	for _, target := range p.Targets {
		if has, err := r.calls.exists(ctx, key, target); err == nil && !has {
			c.Fresh = true
		}
	}
	return c.Allow()
}

// watched returns a context that ends when the replica on the target has shown no progress for
// longer than still; 0: it is not looked at. The caller calls settle when the copy has ended,
// which tells whether that was why.
//
// The size of the replica, as the target reports it, is the only sign of progress that Gitaly
// gives: ReplicateRepository answers once, at its end. A storage that is gone needs no look, because
// its connection ends; neither does a source, because the target gives it up by itself.
func (r *repairer) watched(copying context.Context, key state.Key, target string, still time.Duration) (watched context.Context, settle func() (stalled bool)) {
	if still == 0 {
		return copying, func() bool { return false }
	}
	watched, cancel := context.WithCancelCause(copying)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		began := time.Now()
		var seen plan.Progress
		seen.Begin(0)
		for {
			pause(watched, min(max(still/looksInStill, lookLeast), lookMost))
			if watched.Err() != nil {
				return
			}
			if size, err := r.calls.size(watched, key, target); err == nil {
				seen.Note(time.Since(began), size)
			}
			if seen.Stalled(time.Since(began), still) {
				r.metrics.stalled.WithLabelValues(key.VirtualStorage, target).Inc()
				cancel(errStalled)
				return
			}
		}
	}()
	return watched, func() bool {
		cancel(nil)
		<-ended
		return errors.Is(context.Cause(watched), errStalled)
	}
}
