package replicator

import (
	"context"
	"sync"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// resolveDoubt commits a resolution. Nothing of it changes a replica, so dying at any point leaves the
// replicas as they were, and at most one more intent, which is in doubt then and bounds nothing.
func (a *attempt) resolveDoubt(ctx context.Context, resolution repair.Resolution) error {
	if invalidated(a.guard) {
		return repair.ErrInvalidated
	}
	err := a.propose(ctx, "resolve", func(ctx context.Context) error { return a.guard.ResolveDoubt(ctx, resolution) })
	if err != nil {
		return err
	}
	a.metrics.resolved.Inc()
	about(a.log, a.request.key).Info("in-doubt intents resolved", "intents", len(resolution.Doubts), "authority", resolution.Authority, "equal", resolution.Equal)
	return nil
}

// keepers are the given storages that have the repository, in their order. It
// fails if any cannot tell.
func (r *repairer) keepers(ctx context.Context, key state.Key, storages []string) ([]string, error) {
	var keepers []string
	for _, storage := range storages {
		has, err := r.calls.exists(ctx, key, storage)
		if err != nil {
			return nil, err
		}
		if has {
			keepers = append(keepers, storage)
		}
	}
	return keepers, nil
}

// equal are the given storages whose references are the authority's. One that
// cannot tell is not.
func (r *repairer) equal(ctx context.Context, key state.Key, authority string, storages []string) ([]string, error) {
	want, err := r.calls.sum(ctx, key, authority)
	if err != nil {
		return nil, err
	}
	same := make([]bool, len(storages))
	var asked sync.WaitGroup // as many as a virtual storage has storages
	for i, storage := range storages {
		asked.Go(func() {
			sum, err := r.calls.sum(ctx, key, storage)
			if err != nil {
				about(r.log, key).Info("a replica could not be compared and counts as behind", "storage", storage, "err", err)
			}
			same[i] = err == nil && sum == want
		})
	}
	asked.Wait()
	var equal []string
	for i, storage := range storages {
		if same[i] {
			equal = append(equal, storage)
		}
	}
	return equal, nil
}

// invalidated reports whether a write began that the guard did not keep waiting.
func invalidated(t Guard) bool {
	select {
	case <-t.Invalidated():
		return true
	default:
		return false
	}
}
