package replicator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

// errLater says that all targets of a copy wait until fewer replicas are made again.
var errLater = errors.New("enough other replicas are being made again")

// remakes counts the replicas that are being made again.
type remakes struct {
	mu sync.Mutex
	n  int // guarded by mu
}

func (r *remakes) add(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n += n
}

func (r *remakes) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

// remake has the targets of a copy made again that cannot be repaired in place: it
// returns them, once the state permits that they are removed, and the targets for the
// copy. Each target returned to be made again counts as running until remakes.add(-1).
func (r *repairer) remake(ctx context.Context, guard Guard, key state.Key, view *state.State, p plan.Plan) (again, targets []string, err error) {
	defer func() {
		if err != nil {
			r.remakes.add(-len(again))
			again = nil
		}
	}()
	for _, target := range p.Targets {
		decision, why := r.remaking(view, key, p.Primary, target).Decide()
		if decision == plan.RemakeNow {
			// ▲ TestRepair_keepsAReplica: Otherwise the copies may fail because of the primary's
			// replica, and the target may be the only one from which anything can be saved.
			if err := r.calls.sound(ctx, key, p.Primary); err != nil {
				decision, why = plan.RemakeInVain, fmt.Sprintf("copies onto %q fail, and the replica to copy from is in doubt: %v", target, err)
			}
		}
		switch decision {
		case plan.RemakeLater:
			continue
		case plan.RemakeInVain, plan.RemakeStorage:
			r.alarms.raise(key, AlarmReplica, errors.New(why))
		case plan.RemakeNow:
			permitted, err := r.permit(ctx, guard, key, target, fmt.Sprintf("%s: %s", why, r.troubles.get(key, target).why))
			if err != nil {
				return again, nil, err
			}
			if permitted {
				r.remakes.add(1)
				again = append(again, target)
			}
		}
		targets = append(targets, target)
	}
	if len(targets) == 0 {
		return nil, nil, errLater
	}
	return again, targets, nil
}

// remaking is all on which it depends whether a replica is made again.
func (r *repairer) remaking(view *state.State, key state.Key, source, target string) plan.Remaking {
	known := r.troubles.get(key, target)
	remaking := plan.Remaking{
		VS: view.VirtualStorage(key.VirtualStorage), Entry: view.Entry(key), Target: target, Source: source,
		Copies: known.copies, After: r.cfg.RemakeAfter, Broken: known.broken, Remade: !known.remade.IsZero() && time.Since(known.remade) < r.cfg.RemakeAgain, Lends: isPool(key),
		Most: r.cfg.RemakeMost, Running: r.remakes.count(), Limit: r.cfg.RemakeLimit,
	}
	if known.broken || known.copies >= r.cfg.RemakeAfter { // else the number is not asked for
		remaking.Failing = r.troubles.failing(view, key.VirtualStorage, target, r.cfg.RemakeAfter)
	}
	return remaking
}

// permit has the state permit that a replica is removed. One that is refused for good is
// copied onto as it is.
func (r *repairer) permit(ctx context.Context, guard Guard, key state.Key, target, why string) (permitted bool, err error) {
	err = r.propose(ctx, fmt.Sprintf("have the removal of the replica on %q permitted", target), func(ctx context.Context) error {
		return guard.Remake(ctx, target, state.Shorten(why))
	})
	refusal, refused := errors.AsType[*state.Refusal](err)
	switch {
	case err == nil:
		about(r.log, key).Warn("copies onto a replica fail; it is removed and copied from nothing", "storage", target, "why", why)
		return true, nil
	case refused && !steps.MetWrite(err):
		about(r.log, key).Info("a replica onto which copies fail is not removed", "storage", target, "refusal", refusal)
		return false, nil
	}
	return false, err
}

// anew copies onto a storage whose replica is removed first. It returns as replicate does.
func (r *repairer) anew(copying context.Context, key state.Key, source, target string) (ended bool, err error) {
	if ended, err = r.calls.remove(copying, key, target); err != nil || !ended {
		return ended, err
	}
	r.metrics.remade.WithLabelValues(key.VirtualStorage, target).Inc()
	r.troubles.remade(key, target)
	return r.calls.replicate(copying, key, source, target)
}

// FailingStorage is a storage onto so many replicas of which copies fail that the replicas are not
// the cause.
type FailingStorage struct {
	VirtualStorage, Storage string
	// Replicas is onto how many copies fail, as far as this instance knows.
	Replicas int
}

// FailingStorages returns the storages on which no replica is made again because copies
// onto too many of them fail.
func (r *Replicator) FailingStorages() []FailingStorage {
	view := r.ledger.View()
	var list []FailingStorage
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		for _, st := range vs.Succession {
			if n := r.repairer.troubles.failing(view, vs.Name, st.Name, r.cfg.RemakeAfter); n > r.cfg.RemakeMost {
				list = append(list, FailingStorage{vs.Name, st.Name, n})
			}
		}
	}
	return slices.Clip(list)
}
