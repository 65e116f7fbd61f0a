package replicator

import (
	"context"
	"errors"
	"fmt"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

// advance copies a storage's replica onto the primary's, which it contains: first
// the state says so, so that no instance writes there, then it is compared once
// more, copied, and compared again. However that ends, the primary's replica counts from
// then on, and storages that served beside it are behind.
//
// If we die under it, the intent becomes in doubt, and a repair accounts for the storages
// once its bound has passed. The source keeps its replica all the while.
func (f *firstCopier) advance(ctx context.Context, key state.Key, primary, source string) error {
	allowed := f.allow(ctx, key, plan.Plan{Primary: source, Targets: []string{primary}})
	guard, done, err := f.acquire(ctx, key, f.cfg.PauseBudget > 0)
	if err != nil {
		return err
	}
	ended := false
	defer func() { done(ended) }()
	copying, cancel := context.WithTimeout(ctx, allowed.Deadline)
	defer cancel()
	view, err := guard.Advance(ctx, source, state.Scope{BoundMillis: allowed.Bound.Milliseconds(), Targets: []string{primary}})
	if err != nil {
		ended = true
		if refusal, ok := errors.AsType[*state.Refusal](err); ok {
			return fmt.Errorf("%w: %w", errAgain, refusal)
		}
		return fmt.Errorf("have the primary advance: %w", err)
	}
	copying = f.stamp(copying, guard.OpenedAt()) // as in attempt.openIntent (▲ driver-token-dated-late)
	copying, settle := f.watched(copying, key, primary, allowed.Still)
	var problem error
	ended, problem = f.pull(ctx, copying, key, view, primary, source)
	settle()
	if !ended {
		return problem
	}
	a := &attempt{repairer: f.repairer, request: repairRequest{key: key}, guard: guard}
	ending := steps.Ending(view.VirtualStorage(key.VirtualStorage), view.Entry(key))
	err = ending.Run(func(e steps.Effect) steps.Result { return a.carryOut(ctx, e) }).Err
	f.enqueue(key)
	if err != nil {
		return errors.Join(problem, err)
	}
	if problem != nil {
		return problem
	}
	f.metrics.advanced.WithLabelValues(key.VirtualStorage, source).Inc()
	about(f.log, key).Info("the primary lacked what another storage had and was advanced", "primary", primary, "source", source)
	return errAgain
}

// pull makes the primary's replica equal to the source's. ended tells whether nothing
// of it can happen any more.
func (f *firstCopier) pull(ctx, copying context.Context, key state.Key, view *state.State, primary, source string) (ended bool, err error) {
	now, _ := view.VirtualStorage(key.VirtualStorage).Primary(view.Entry(key))
	if now.Name != primary {
		return true, fmt.Errorf("%w: the primary is %q by now", errAgain, now.Name)
	}
	// ▲ TestMeet_losesNothing: Nothing of the primary is moved or removed that the source does not
	// contain.
	m, err := f.calls.meet(ctx, key, primary, source)
	if err != nil {
		return true, err
	}
	m.Founding, m.Clean = true, true
	if plan.Meet(m.Newcomer) != plan.FirstAdvance {
		return true, errAgain
	}
	ended, err = f.replicate(copying, key, source, primary)
	if ended {
		f.troubles.note(key, primary, err)
	}
	if err != nil || !ended {
		return ended, err
	}
	if ended, err = f.mendHead(ctx, copying, key, source, primary); err != nil || !ended {
		return ended, err
	}
	if !m.PrimaryHas { // else it keeps the pool that it borrows from
		if ended, err = f.join(ctx, copying, key, view, source, primary); !ended || err != nil && !errors.Is(err, errPoolBehind) {
			return ended, err
		}
	}
	want, err := f.calls.replica(ctx, key, source)
	if err != nil {
		return true, err
	}
	got, err := f.calls.replica(ctx, key, primary)
	if err != nil {
		return true, err
	}
	got.Pool = want.Pool
	if what := plan.Unlike(want, got); what != "" {
		return true, &plan.UnlikeError{Storage: primary, Source: source, What: what}
	}
	return true, nil
}
