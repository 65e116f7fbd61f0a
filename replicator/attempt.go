package replicator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

const (
	// maxCopies bounds how many copies of one repository run at a time.
	maxCopies = 64
	// joinAfter is how long the copies of an attempt run before it looks for more to do, and
	// the time between two looks.
	joinAfter = 2 * time.Second
)

// attempt is one repair of a repository, from the lock to its end. While a copy lasts, the
// guard is this one's alone, and no other instance can declare anything: therefore an attempt
// also does the steps that become due meanwhile, in a further round.
type attempt struct {
	*repairer
	request repairRequest
	guard   Guard
	results chan result
	// running are the targets of the copies under way, with the rounds in which they began.
	running map[string]int
	// doubtful are the storages at which a call may go on after its end here.
	doubtful []string
	retries  map[string]retry // of targets of which a copy has ended
	round    int
	stops    []func()
	faults   []error
	met      error // a write, after which a copy counts for nothing
	// broken tells that a conclusion has no answer: nothing more is begun.
	broken bool
}

// retry is when a target of an attempt may be copied onto again.
type retry struct {
	failures int
	after    time.Time
}

// stop ends the contexts of the copies.
func (a *attempt) stop() {
	for _, stop := range a.stops {
		stop()
	}
}

// begin opens the intent, or widens it, and begins to copy onto the plan's targets that still need
// it.
//
// The deadline is counted from before the intent: a process that is paused in between wakes up
// to find it past. If we die from here on, the intent becomes in doubt and no instance copies onto
// the targets before its bound; they are behind all the while.
func (a *attempt) begin(ctx context.Context, p plan.Plan, allowed plan.Allowance) error {
	key := a.request.key
	copying, cancel := context.WithTimeout(ctx, allowed.Deadline)
	a.stops = append(a.stops, cancel)
	view, err := a.guard.OpenIntent(ctx, state.Scope{BoundMillis: allowed.Bound.Milliseconds(), Targets: p.Targets})
	if err != nil {
		return fmt.Errorf("open an intent to repair the repository: %w", err)
	}
	// ▲ driver-token-dated-late: Dated when the intent was answered under a lease: a process that
	// is paused here cannot begin a copy after others have stopped to reckon with it.
	copying = a.stamp(copying, a.guard.OpenedAt())
	wanted := p.Targets
	p = a.plan(view, key, false)
	p.Targets = slices.DeleteFunc(p.Targets, func(t string) bool { return !slices.Contains(wanted, t) })
	if p.Action != plan.Copy || len(p.Targets) == 0 {
		return nil // it changed meanwhile; the next step sees how
	}
	has, err := a.calls.exists(ctx, key, p.Primary)
	var again []string
	if err == nil && has {
		again, p.Targets, err = a.remake(copying, a.guard, key, view, p)
	}
	if err != nil {
		return err
	}
	if len(again) > 0 {
		view = a.ledger.View() // in which that is permitted
	}
	found := plan.Finding{Source: has, Deleted: view.Entry(key).Deleted}
	for _, target := range p.Targets { // as many as a virtual storage has storages
		a.running[target] = a.round
		anew := slices.Contains(again, target)
		go func() {
			a.results <- a.equalise(ctx, copying, key, view, p, found, target, anew, allowed.Still, a.guard)
		}()
	}
	return nil
}

// finish waits for the copies, declares each target when its own copy has ended, so that one that
// takes long, or hangs, keeps no other one behind, and begins the steps that become due meanwhile.
func (a *attempt) finish(ctx context.Context) (synced []string, err error) {
	look := time.NewTicker(joinAfter)
	defer look.Stop()
	for len(a.running) > 0 {
		var ended []result
		select {
		case first := <-a.results:
			ended = a.arrived(first)
		case <-look.C:
			a.join(ctx)
			continue
		}
		equal := a.account(ended)
		switch err := a.declare(ctx, a.guard, a.request.key, a.round, equal); {
		case err == nil:
			synced = append(synced, equal...)
		case metWrite(err):
			a.meet(err, equal...)
		default:
			a.faults = append(a.faults, err)
			a.broken = true
			a.stop() // writes wait while the outcome of the conclusion is unknown
		}
	}
	if len(a.faults) > 0 {
		return synced, errors.Join(a.faults...) // which count as failures; a write does not
	}
	return synced, a.met
}

// arrived returns a result with the other results that are there by now.
func (a *attempt) arrived(first result) []result {
	list := []result{first}
	for {
		select {
		case more := <-a.results:
			list = append(list, more)
		default:
			return list
		}
	}
}

// account notes how copies ended, and returns the targets that can be declared.
func (a *attempt) account(ended []result) (equal []string) {
	late := false
	for _, res := range ended {
		round := a.running[res.target]
		delete(a.running, res.target)
		a.request.grant.ended(res.target, res.err)
		late = late || res.late
		switch {
		case !res.ended:
			a.doubtful = append(a.doubtful, res.target)
			a.faults = append(a.faults, res.err)
		case res.err != nil:
			a.faults = append(a.faults, res.err)
			a.later(res.target)
		case round != a.round: // ▲ machine-declares-former-round: a write may have passed since it began
			a.meet(repair.ErrInvalidated, res.target)
		default:
			equal = append(equal, res.target)
		}
	}
	if late {
		a.backoffs.timedOut(a.request.key)
	}
	return equal
}

// meet notes that a write was met: the copies onto the targets count for nothing.
func (a *attempt) meet(err error, targets ...string) {
	a.met = err
	for _, target := range targets {
		a.later(target)
	}
}

// later puts the next copy onto a target off.
func (a *attempt) later(target string) {
	r := a.retries[target]
	r.failures++
	r.after = time.Now().Add(backOffAfter(a.cfg.RetryMin, a.cfg.RetryMax, r.failures, rand.Float64()))
	a.retries[target] = r
}

// declare commits that the storages are in sync. If we die before, they stay
// behind and are copied to again; if after, the intent is in doubt and is resolved.
func (r *repairer) declare(ctx context.Context, guard Guard, key state.Key, round int, storages []string) error {
	switch {
	case len(storages) == 0:
		return nil
	case invalidated(guard):
		return repair.ErrInvalidated
	}
	proposing, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if err := guard.MarkInSync(proposing, round, storages); err != nil {
		return fmt.Errorf("declare %q in sync: %w", storages, err)
	}
	r.log.Debug("repository repaired", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "storages", storages)
	return nil
}

// join begins the steps that have become due since the copies began: copies onto other targets, or
// the resolution of a doubt. A step that cannot begin now is looked at again later.
// (▲ replicator-copy-holds-others)
func (a *attempt) join(ctx context.Context) {
	key := a.request.key
	if a.broken || ctx.Err() != nil || a.request.stopped != nil && a.request.stopped() {
		return
	}
	p := a.plan(a.ledger.View(), key, a.request.backfilling)
	var err error
	switch p.Action {
	case plan.Copy:
		p.Targets = slices.DeleteFunc(p.Targets, a.excluded)
		if p.Targets = a.request.grant.widen(p.Targets); len(p.Targets) == 0 || len(a.running)+len(p.Targets) > maxCopies {
			return
		}
		allowed := a.allow(ctx, key, p)
		if err = a.renew(ctx); err == nil {
			err = a.begin(ctx, p, allowed)
		}
		for _, target := range p.Targets {
			if _, begun := a.running[target]; !begun {
				a.request.grant.ended(target, repair.ErrInvalidated)
			}
		}
	case plan.Resolve:
		if err = a.renew(ctx); err == nil {
			err = a.resolveUnder(ctx, a.guard, key)
		}
	default:
		return
	}
	if err != nil {
		a.log.Debug("what became due during a copy waits", "virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath, "err", err)
		for _, target := range p.Targets {
			a.later(target)
		}
	}
}

// excluded tells that no copy onto the target is to begin now.
func (a *attempt) excluded(target string) bool {
	_, running := a.running[target]
	return running || slices.Contains(a.doubtful, target) || time.Now().Before(a.retries[target].after)
}

// renew begins another round. Where targets were invalidated again and again, new writes wait for it.
func (a *attempt) renew(ctx context.Context) error {
	paused := a.cfg.PauseBudget > 0 && slices.ContainsFunc(slices.Collect(maps.Values(a.retries)), func(r retry) bool { return r.failures > invalidatedBeforePause })
	if !paused {
		round, err := a.guard.Renew(ctx, false)
		if err == nil {
			a.round = round
		}
		return err
	}
	resume, err := a.pauseWrites(ctx, func(draining context.Context) (Guard, error) {
		round, err := a.guard.Renew(draining, true)
		if err == nil {
			a.round = round
		}
		return a.guard, err
	}, a.guard.Resume)
	if err != nil {
		a.guard.Resume() // the machine may still wait for the writes in flight
		return err
	}
	a.stops = append(a.stops, resume)
	return nil
}
