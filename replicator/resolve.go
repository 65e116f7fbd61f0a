package replicator

import (
	"context"
	"fmt"
	"sync"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// resolve accounts for the in-doubt intents whose bound has passed: storages that are
// proven equal to the authority stay in sync, all others become behind.
//
// Nothing of it changes a replica, so dying at any point leaves the replicas as they were,
// and at most one more intent, which is in doubt then and bounds nothing.
func (r *repairer) resolve(ctx context.Context, o repairRequest, _ plan.Plan, paused bool) (synced []string, err error) {
	guard, done, err := r.acquire(ctx, o.key, paused)
	if err != nil {
		return nil, err
	}
	defer done(true)
	return nil, r.resolveUnder(ctx, guard, o.key)
}

// resolveUnder is resolve under a guard that the caller has.
func (r *repairer) resolveUnder(ctx context.Context, guard Guard, key state.Key) error {
	view, err := guard.OpenIntent(ctx, state.Scope{RefsOnly: true})
	if err != nil {
		return fmt.Errorf("open an intent to resolve the doubt: %w", err)
	}
	p := r.plan(view, key, false)
	if p.Action != plan.Resolve {
		return nil // it changed meanwhile; the next step sees how
	}
	resolution, err := r.compare(ctx, key, p)
	if err != nil {
		return err
	}
	if invalidated(guard) {
		return repair.ErrInvalidated
	}
	proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if err := guard.ResolveDoubt(proposing, resolution); err != nil {
		return fmt.Errorf("resolve: %w", err)
	}
	r.metrics.resolved.Inc()
	r.log.Info("in-doubt intents resolved", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath,
		"intents", len(resolution.Doubts), "authority", resolution.Authority, "equal", resolution.Equal)
	return nil
}

// compare finds the authority, and which in-sync storages are equal to it.
func (r *repairer) compare(ctx context.Context, key state.Key, p plan.Plan) (repair.Resolution, error) {
	s := repair.Resolution{Doubts: p.Doubts, Authority: p.Primary}
	has, err := r.calls.exists(ctx, key, p.Primary)
	if err != nil {
		return repair.Resolution{}, err
	}
	var keepers []string
	if !has {
		// Settling never deletes: a replica that any of them has becomes the authority.
		// One that cannot be asked may have it, so that nothing is resolved.
		if keepers, err = r.keepers(ctx, key, p.Witnesses); err != nil {
			return repair.Resolution{}, err
		}
		if len(keepers) > 0 {
			s.Authority, s.PrimaryLacks = keepers[0], true
		}
	}
	switch {
	case !p.RefsOnly:
	case !has && !s.PrimaryLacks:
		s.Equal = p.Witnesses // all lack it
	case s.PrimaryLacks:
		s.Equal, err = r.equal(ctx, key, s.Authority, keepers[1:])
	default:
		s.Equal, err = r.equal(ctx, key, s.Authority, p.Witnesses)
	}
	return s, err
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
				r.log.Info("a replica could not be compared and counts as behind", "virtual_storage", key.VirtualStorage,
					"relative_path", key.RelativePath, "storage", storage, "err", err)
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
