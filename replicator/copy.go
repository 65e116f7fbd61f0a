package replicator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// result is the outcome for one target. ended tells that nothing of the call can
// happen any more.
type result struct {
	target string
	ended  bool
	// late tells that the copy did not end in its time, alike that the replica was found like
	// the source's after it.
	late, alike bool
	err         error
}

// equalise makes one target equal to the primary, and sends a result. copying carries the
// deadline that the intent records, still is how long it may show no progress; anew, the
// replica is removed first.
func (r *repairer) equalise(ctx, copying context.Context, key state.Key, view *state.State, p plan.Plan, found plan.Finding, target string, anew bool, still time.Duration, guard Guard) (res result) {
	res = result{target: target}
	defer func() {
		if anew {
			r.remakes.add(-1)
		}
		if cause := recover(); cause != nil {
			res.ended, res.err = false, fmt.Errorf("repair of %q panicked: %v", target, cause)
			about(r.log, key).Error("repair panicked", "storage", target, "err", res.err, "stack", string(debug.Stack()))
		}
	}()
	copying, settle := r.watched(copying, key, target, still)
	res = r.equaliseOne(ctx, copying, key, view, p, view.VirtualStorage(key.VirtualStorage).Storage(target), found, anew)
	stalled := settle()
	res.late = stalled || errors.Is(copying.Err(), context.DeadlineExceeded)
	if stalled && res.err != nil {
		res.err = fmt.Errorf("the copy onto %q has shown no progress for %v: %w", target, still, res.err)
	}
	if res.err == nil && !res.alike {
		res.err = r.verify(ctx, guard, view, key, p.Primary, target)
	}
	if res.ended {
		r.troubles.note(key, target, res.err)
	}
	return res
}

// equaliseOne makes one target equal to the primary; anew, its replica is removed first.
func (r *repairer) equaliseOne(ctx, copying context.Context, key state.Key, view *state.State, p plan.Plan, target *state.Storage, found plan.Finding, anew bool) result {
	failed := func(err error) result { return result{target: target.Name, ended: true, err: err} }
	if !found.Source && !found.Deleted {
		has, err := r.calls.exists(ctx, key, target.Name)
		if err != nil {
			return failed(err)
		}
		found.Target = has
	}
	verb, err := plan.Choose(target, found)
	if err != nil {
		return failed(err)
	}
	res := result{target: target.Name, ended: true}
	switch verb {
	case plan.VerbCopy:
		defer r.metrics.change(key.VirtualStorage, target.Name, changeUpdate)()
		if target.State == state.Backfilling && !anew { // equal replicas are not copied
			if alike, err := r.calls.alike(ctx, key, p.Primary, []string{target.Name}); err == nil && alike {
				return res
			}
		}
		replicate := r.replicate
		if anew {
			replicate = r.anew
		}
		res.ended, res.err = replicate(copying, key, p.Primary, target.Name)
		if res.err == nil && res.ended {
			// Most copies leave nothing to mend.
			if want, got, err := r.both(ctx, key, p.Primary, target.Name); err == nil && plan.Unlike(want, got) == "" {
				res.alike = true
				return res
			}
			res.ended, res.err = r.mendHead(ctx, copying, key, p.Primary, target.Name)
		}
		if res.err == nil && res.ended {
			res.ended, res.err = r.join(ctx, copying, key, view, p.Primary, target.Name)
		}
	case plan.VerbRemove:
		if lends(view, key, target.Name) {
			return failed(errBorrowed)
		}
		defer r.metrics.change(key.VirtualStorage, target.Name, changeDelete)()
		res.ended, res.err = r.calls.remove(copying, key, target.Name)
	}
	return res
}

// replicate copies. Where a copy onto the replica has failed before, the storage does
// its housekeeping first, which removes stale locks, and references that may be in the way go.
// Both have ended when the copy begins.
func (r *repairer) replicate(copying context.Context, key state.Key, source, target string) (ended bool, err error) {
	var problem error // of little account if the copy succeeds: there may have been nothing at all
	if r.troubles.get(key, target).copies > 0 {
		if ended, problem = r.clear(copying, key, source, target); !ended {
			return ended, problem
		}
	}
	ended, err = r.calls.replicate(copying, key, source, target)
	if err == nil {
		return ended, nil
	}
	return ended, errors.Join(err, problem)
}

// clear removes obstacles that may keep a copy onto a replica from success. It returns as
// replicate does.
func (r *repairer) clear(copying context.Context, key state.Key, source, target string) (ended bool, err error) {
	r.metrics.housekept.WithLabelValues(key.VirtualStorage, target).Inc()
	about(r.log, key).Info("copies onto a replica fail; its storage is asked for housekeeping before the next one", "storage", target)
	ended, problem := r.calls.optimize(copying, key, target)
	if !ended {
		return ended, problem
	}
	cleared, ended, err := r.calls.makeWay(copying, key, source, target)
	if cleared > 0 {
		about(r.log, key).Info("deleted what was in the way of a copy", "storage", target, "references", cleared)
	}
	return ended, errors.Join(problem, err)
}
