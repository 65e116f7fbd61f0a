package replicator

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// proposeTimeout bounds the wait for one verdict. Writes wait as long.
const proposeTimeout = 10 * time.Second

// copy makes the targets equal to the primary, and declares in sync those with
// which it succeeded.
func (r *repairer) copy(ctx context.Context, o order, p plan.Plan, held bool) (synced []string, err error) {
	limit := r.copyLimit(ctx, o.key, p.Primary)
	ticket, done, err := r.take(ctx, o.key, held)
	if err != nil {
		return nil, err
	}
	// Until every call is known to have ended, a panic included, the intent ends
	// in doubt: about the storages at which one may go on, and about no other one.
	ended := false
	var doubtful []string
	defer func() { done(ended, doubtful...) }()

	// The deadline is counted from before the intent: a process that is paused in
	// between wakes up to find it past, and sends nothing that outlives the
	// bound. If we die from here on, the intent becomes in doubt and nobody copies
	// onto the targets before its bound; they are behind all the while.
	copying, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	view, err := ticket.OpenIntent(ctx, state.Scope{BoundMillis: limit.Milliseconds(), Targets: p.Targets})
	if err != nil {
		ended = true
		return nil, fmt.Errorf("open an intent to repair the repository: %w", err)
	}
	// ▲ Dated when the intent was answered under a lease: a process that is paused
	// here cannot begin a copy after others have stopped to reckon with it.
	copying = r.stamp(copying, ticket.OpenedAt())
	wanted := p.Targets
	p = r.plan(view, o.key, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(t string) bool { return !slices.Contains(wanted, t) })
	if p.Action != plan.Copy || len(p.Targets) == 0 {
		ended = true
		return nil, nil // it changed meanwhile; the next step sees how
	}
	has, err := r.calls.exists(ctx, o.key, p.Primary)
	var again []string
	if err == nil && has {
		again, p.Targets, err = r.remake(copying, ticket, o.key, view, p)
	}
	if err != nil {
		ended = true
		return nil, err
	}
	if len(again) > 0 {
		view = r.ledger.View() // in which that is permitted
	}
	found := plan.Finding{Source: has, Deleted: view.Entry(o.key).Deleted}
	results := r.equalise(ctx, copying, o.key, view, p, found, again, ticket)

	// Each target is declared when its own copy has ended: one that takes long, or
	// hangs, keeps no other one behind.
	var faults []error
	var met error // a write, after which nothing more is declared
	for pending := len(p.Targets); pending > 0; {
		var equal []string
		for _, result := range arrived(results) {
			pending--
			o.grant.ended(result.target, result.err)
			if !result.ended {
				doubtful = append(doubtful, result.target)
			}
			if result.err != nil {
				faults = append(faults, result.err)
				continue
			}
			equal = append(equal, result.target)
		}
		switch err := r.declare(ctx, ticket, o.key, equal); {
		case err == nil:
			synced = append(synced, equal...)
		case metWrite(err):
			met = err
		default:
			faults = append(faults, err)
			cancel() // writes wait while nobody knows what the verdict came to
		}
	}
	ended = len(doubtful) == 0
	if errors.Is(copying.Err(), context.DeadlineExceeded) {
		r.patience.timedOut(o.key)
	}
	if len(faults) > 0 {
		return synced, errors.Join(faults...) // which count as failures; a write does not
	}
	return synced, met
}

// arrived waits for a result, and returns it with those that are there by then.
func arrived(results <-chan result) []result {
	list := []result{<-results}
	for {
		select {
		case more := <-results:
			list = append(list, more)
		default:
			return list
		}
	}
}

// declare commits that the storages are in sync. If we die before, they stay
// behind and are copied to again; if after, the intent is in doubt and is resolved.
func (r *repairer) declare(ctx context.Context, ticket Ticket, key state.Key, storages []string) error {
	switch {
	case len(storages) == 0:
		return nil
	case spoiled(ticket):
		return ErrSpoiled
	}
	proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if err := ticket.MarkInSync(proposing, storages); err != nil {
		return fmt.Errorf("declare %q in sync: %w", storages, err)
	}
	r.log.Debug("repository repaired", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "storages", storages)
	return nil
}

// copyDoublings bounds how often the time for a copy is doubled. Gitaly does not tell
// how far a copy is, and a repository that takes longer than the setting would
// never be copied otherwise.
const copyDoublings = 5

// copyLimit is how long a copy may take: a floor and what its size calls for,
// never more than the setting, and doubled by each that did not end in its time. It is short where it can be, because after a crash nobody touches
// the targets for as long.
func (r *repairer) copyLimit(ctx context.Context, key state.Key, source string) time.Duration {
	size, err := r.calls.size(ctx, key, source)
	if err != nil {
		// It may be gone, or be a storage that does not tell; the doubling
		// finds the time that it takes.
		r.log.Debug("the size of a repository is not known", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "err", err)
	}
	limit := r.cfg.CopyFloor + time.Duration(float64(size)/float64(r.cfg.CopyRate)*float64(time.Second))
	limit = min(limit, r.cfg.CopyTimeout)
	for range min(r.patience.get(key).timeouts, copyDoublings) {
		limit *= 2
	}
	return limit.Truncate(time.Millisecond) // the intent counts whole ones
}

// result is what became of one target. ended tells that nothing of the call can
// happen any more.
type result struct {
	target string
	ended  bool
	err    error
}

// equalise begins to make each target equal to the primary, all at once, and returns
// a channel that gets a result for each. One that fails does not stop the others.
// copying carries the deadline that the intent records; again are the targets of which
// the replica is removed first.
func (r *repairer) equalise(ctx, copying context.Context, key state.Key, view *state.State, p plan.Plan, found plan.Finding, again []string, ticket Ticket) <-chan result {
	vs := view.VirtualStorage(key.VirtualStorage)
	results := make(chan result, len(p.Targets))
	for _, target := range p.Targets { // as many as a virtual storage has storages
		go func() {
			res := result{target: target}
			anew := slices.Contains(again, target)
			defer func() {
				if anew {
					r.remakes.add(-1)
				}
				if cause := recover(); cause != nil {
					res.ended, res.err = false, fmt.Errorf("repair of %q panicked: %v", target, cause)
					r.log.Error("repair panicked", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath,
						"storage", target, "err", res.err, "stack", string(debug.Stack()))
				}
				results <- res
			}()
			res = r.equaliseOne(ctx, copying, key, view, p, vs.Storage(target), found, anew)
			if res.err == nil {
				res.err = r.verify(ctx, ticket, view, key, p.Primary, target)
			}
			if res.ended {
				r.troubles.note(key, target, res.err)
			}
		}()
	}
	return results
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
// its housekeeping first, which removes stale locks, and what may be in the way goes.
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

// clear removes what may keep a copy onto a replica from success. It returns as
// replicate does.
func (r *repairer) clear(copying context.Context, key state.Key, source, target string) (ended bool, err error) {
	r.metrics.housekept.WithLabelValues(key.VirtualStorage, target).Inc()
	r.log.Info("copies onto a replica fail; its storage is asked for housekeeping before the next one", "virtual_storage", key.VirtualStorage,
		"relative_path", key.RelativePath, "storage", target)
	ended, problem := r.calls.optimize(copying, key, target)
	if !ended {
		return ended, problem
	}
	cleared, ended, err := r.calls.makeWay(copying, key, source, target)
	if cleared > 0 {
		r.log.Info("deleted what was in the way of a copy", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath,
			"storage", target, "references", cleared)
	}
	return ended, errors.Join(problem, err)
}
