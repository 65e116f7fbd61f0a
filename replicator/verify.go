package replicator

import (
	"context"
	"sync"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// verify compares a target with its source after a copy. ▲ TestVerify_aCopyThatLeavesSomethingOut:
// Only a replica like the primary's counts as in sync. A difference that a write has made meanwhile
// is none: then the repair was met by a write. view is the one of the intent.
func (r *repairer) verify(ctx context.Context, guard Guard, view *state.State, key state.Key, source, target string) error {
	want, got, err := r.both(ctx, key, source, target)
	if err != nil {
		return err
	}
	if want.Pool != "" && got.Pool == "" {
		// Without its pool, which the storage may lack, it only takes more room.
		there, err := r.calls.exists(ctx, state.Key{VirtualStorage: key.VirtualStorage, RelativePath: want.Pool}, target)
		if err != nil {
			return err
		}
		if !there {
			want.Pool = ""
		}
	}
	what := plan.Unlike(want, got)
	switch {
	case what == "":
		return nil
	case invalidated(guard) || changedSince(view, r.ledger.View(), key):
		return repair.ErrInvalidated
	}
	r.metrics.unlike.WithLabelValues(key.VirtualStorage, target).Inc()
	return &plan.UnlikeError{Storage: target, Source: source, What: what}
}

// both looks at the replicas of a source and a target at once.
func (r *repairer) both(ctx context.Context, key state.Key, source, target string) (want, got plan.Replica, err error) {
	var problem error
	var looking sync.WaitGroup
	looking.Go(func() { want, problem = r.calls.replica(ctx, key, source) })
	got, err = r.calls.replica(ctx, key, target)
	looking.Wait()
	if problem != nil {
		return want, got, ofSource(problem)
	}
	return want, got, err
}

// changedSince tells whether the entry of the repository changed between two views.
func changedSince(before, now *state.State, key state.Key) bool {
	a, b := before.Entry(key), now.Entry(key)
	return a != b && (a == nil || b == nil || a.Changed != b.Changed)
}

// mendHead has the target's HEAD name the same reference as the source's, which a copy of
// Gitaly 18 leaves alone while the source's names no branch that exists. ctx is for
// questions; copying and ended are as in calls.replicate.
func (r *repairer) mendHead(ctx, copying context.Context, key state.Key, source, target string) (ended bool, err error) {
	want, err := r.calls.head(ctx, key, source)
	if err != nil || want == "" {
		return true, ofSource(err)
	}
	have, err := r.calls.head(ctx, key, target)
	if err != nil || have == want {
		return true, err
	}
	return r.calls.setHead(copying, key, target, want)
}

// alike tells whether replicas on all of the storages are like the primary's, so
// that nothing is to be copied.
func (c *calls) alike(ctx context.Context, key state.Key, primary string, storages []string) (bool, error) {
	for _, storage := range storages { // an empty disk is told by this
		if has, err := c.exists(ctx, key, storage); err != nil || !has {
			return false, err
		}
	}
	want, err := c.replica(ctx, key, primary)
	if err != nil || !want.Has {
		return false, err
	}
	for _, storage := range storages {
		got, err := c.replica(ctx, key, storage)
		if err != nil || plan.Unlike(want, got) != "" {
			return false, err
		}
	}
	return true, nil
}
