package replicator

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

const (
	// proposeTimeout bounds the wait for one conclusion. Writes wait as long.
	proposeTimeout = 10 * time.Second
	// maxCopies bounds how many copies of one repository run at a time.
	maxCopies = 64
	// joinAfter is how long the copies of an attempt run before it looks for more to do, and
	// the time between two looks.
	joinAfter = 2 * time.Second
)

// attempt carries one step of a repair out; package steps has the order.
type attempt struct {
	*repairer
	request repairRequest
	step    *steps.Step
	paused  bool // new writes wait
	guard   Guard
	free    func(ended bool, doubtful ...string) // nil: the caller frees the guard
	view    *state.State                         // of the last intent
	// allowed is how long the next copies may take, and copying ends them.
	allowed plan.Allowance
	copying context.Context
	results chan result
	look    *time.Ticker
	copies  int              // under way
	joining []string         // targets that have become due, and have their turn
	retries map[string]retry // of targets of which a copy has ended
	stops   []func()
}

// retry is when a target of an attempt may be copied onto again.
type retry struct {
	failures int
	after    time.Time
}

// attempt carries out the step of a plan, and returns the storages that it declared in sync.
func (r *repairer) attempt(ctx context.Context, o repairRequest, p plan.Plan, paused bool) (synced []string, err error) {
	a := &attempt{
		repairer: r, request: o, step: steps.New(p), paused: paused,
		results: make(chan result, maxCopies), retries: make(map[string]retry),
	}
	if p.Action == plan.Copy {
		a.allowed = r.allow(ctx, o.key, p)
	}
	// Until every call is known to have ended, a panic included, the intent of copies ends in
	// doubt: about the storages at which one may go on, and about no other one.
	ended := p.Action != plan.Copy
	defer func() {
		a.stop()
		if a.free != nil {
			a.free(ended, a.step.Doubtful()...)
		}
	}()
	end := a.step.Run(func(e steps.Effect) steps.Result { return a.carryOut(ctx, e) })
	ended = end.Arrived
	return end.Synced, end.Err
}

// carryOut carries one effect out.
func (a *attempt) carryOut(ctx context.Context, effect steps.Effect) (done steps.Result) {
	key := a.request.key
	switch e := effect.(type) {
	case steps.Lock:
		a.guard, a.free, done.Err = a.acquire(ctx, key, a.paused)
	case steps.Renew:
		done.Round, done.Err = a.renew(ctx)
	case steps.OpenIntent:
		return a.openIntent(ctx, e.Targets)
	case steps.TakeUp:
		if a.view, done.Err = a.guard.Advance(ctx, "", state.Scope{}); done.Err != nil {
			done.Err = fmt.Errorf("take up an advance that was interrupted: %w", done.Err)
			break
		}
		done.VS, done.Entry = a.view.VirtualStorage(key.VirtualStorage), a.view.Entry(key)
	case steps.Look:
		done.Has, done.Err = a.keepers(ctx, key, e.Storages)
	case steps.Compare:
		done.Equal, done.Err = a.equal(ctx, key, e.Authority, e.Storages)
	case steps.Remake:
		done.Again, done.Targets, done.Err = a.remake(a.copying, a.guard, key, a.view, e.Plan)
		if len(done.Again) > 0 {
			a.view = a.ledger.View() // in which that is permitted
		}
	case steps.Copies:
		a.copy(ctx, e)
	case steps.Await:
		return a.await(ctx, e)
	case steps.Declare:
		done.Err = a.declare(ctx, e.Round, e.Storages)
	case steps.ResolveDoubt:
		done.Err = a.resolveDoubt(ctx, e.Resolution)
	case steps.EndAdvance:
		done.Err = a.propose(ctx, "end an advance", func(ctx context.Context) error { return a.guard.EndAdvance(ctx, e.Ending) })
	default:
		done.Err = fmt.Errorf("a step of a repair has an effect %T that nothing carries out", e)
	}
	return done
}

// stop ends the contexts of the copies.
func (a *attempt) stop() {
	if a.look != nil {
		a.look.Stop()
	}
	for _, stop := range a.stops {
		stop()
	}
}

// openIntent opens the intent, or widens it.
//
// The deadline of copies is counted from before the intent: a process that is paused in between
// wakes up to find it past. If we die from here on, the intent becomes in doubt and no instance
// copies onto the targets before its bound; they are behind all the while.
func (a *attempt) openIntent(ctx context.Context, targets []string) (done steps.Result) {
	scope := state.Scope{RefsOnly: true}
	if len(targets) > 0 {
		copying, cancel := context.WithTimeout(ctx, a.allowed.Deadline)
		a.copying, a.stops = copying, append(a.stops, cancel)
		scope = state.Scope{BoundMillis: a.allowed.Bound.Milliseconds(), Targets: targets}
	}
	view, err := a.guard.OpenIntent(ctx, scope)
	if err != nil {
		return steps.Result{Err: fmt.Errorf("open an intent to repair the repository: %w", err)}
	}
	if len(targets) > 0 {
		// ▲ driver-token-dated-late: Dated when the intent was answered under a lease: a process that
		// is paused here cannot begin a copy after others have stopped to reckon with it.
		a.copying = a.stamp(a.copying, a.guard.OpenedAt())
	}
	a.view = view
	return steps.Result{Plan: a.plan(view, a.request.key, false), Entry: view.Entry(a.request.key)}
}

// copy begins to copy onto the targets: as many as a virtual storage has storages.
func (a *attempt) copy(ctx context.Context, e steps.Copies) {
	copying, view, still := a.copying, a.view, a.allowed.Still
	for _, target := range e.Plan.Targets {
		anew := slices.Contains(e.Again, target)
		go func() {
			a.results <- a.equalise(ctx, copying, a.request.key, view, e.Plan, e.Found, target, anew, still, a.guard)
		}()
	}
	a.copies += len(e.Plan.Targets)
	a.joining = slices.DeleteFunc(a.joining, func(t string) bool { return slices.Contains(e.Plan.Targets, t) })
}

// await waits for copies, and for work that becomes due meanwhile, so that a copy that takes long, or
// hangs, keeps no other one behind.
func (a *attempt) await(ctx context.Context, e steps.Await) (done steps.Result) {
	for _, target := range a.joining { // which have not begun
		a.request.grant.ended(target, repair.ErrInvalidated)
	}
	a.joining = nil
	for _, target := range e.Later {
		r := a.retries[target]
		r.failures++
		r.after = time.Now().Add(backOffAfter(a.cfg.RetryMin, a.cfg.RetryMax, r.failures, rand.Float64()))
		a.retries[target] = r
	}
	if e.Err != nil {
		a.log.Debug("what became due during a copy waits", "virtual_storage", a.request.key.VirtualStorage,
			"relative_path", a.request.key.RelativePath, "err", e.Err)
	}
	if a.look == nil {
		a.look = time.NewTicker(joinAfter)
	}
	if e.Stop {
		a.stop()
	}
	for {
		select {
		case first := <-a.results:
			return steps.Result{Ended: a.arrived(first)}
		case <-a.look.C:
			if p, due := a.due(ctx); due {
				return steps.Result{Due: true, Plan: p}
			}
		}
	}
}

// arrived notes how a copy ended, with the other copies that have ended by now.
func (a *attempt) arrived(res result) (ended []steps.Copied) {
	late := false
	for {
		a.copies--
		a.request.grant.ended(res.target, res.err)
		late = late || res.late
		ended = append(ended, steps.Copied{Target: res.target, Ended: res.ended, Err: res.err})
		select {
		case res = <-a.results:
		default:
			if late {
				a.backoffs.timedOut(a.request.key)
			}
			return ended
		}
	}
}

// due is the plan for work that has become due since the copies began, and can begin now.
func (a *attempt) due(ctx context.Context) (p plan.Plan, due bool) {
	key := a.request.key
	if ctx.Err() != nil || a.request.stopped != nil && a.request.stopped() {
		return p, false
	}
	switch p = a.plan(a.ledger.View(), key, a.request.backfilling); p.Action {
	case plan.Resolve:
		return p, true
	case plan.Copy:
		p.Targets = slices.DeleteFunc(p.Targets, func(t string) bool { return a.step.Begun(t) || time.Now().Before(a.retries[t].after) })
		if len(p.Targets) == 0 || a.copies+len(p.Targets) > maxCopies {
			return p, false
		}
		if p.Targets = a.request.grant.widen(p.Targets); len(p.Targets) == 0 {
			return p, false
		}
		a.joining, a.allowed = p.Targets, a.allow(ctx, key, p)
		return p, true
	}
	return p, false
}

// renew begins another round. Where targets were invalidated again and again, new writes wait for it.
func (a *attempt) renew(ctx context.Context) (round int, err error) {
	paused := a.cfg.PauseBudget > 0 && slices.ContainsFunc(slices.Collect(maps.Values(a.retries)), func(r retry) bool { return r.failures > invalidatedBeforePause })
	if !paused {
		return a.guard.Renew(ctx, false)
	}
	resume, err := a.pauseWrites(ctx, func(draining context.Context) (_ Guard, err error) {
		round, err = a.guard.Renew(draining, true)
		return a.guard, err
	}, a.guard.Resume)
	if err != nil {
		a.guard.Resume() // the machine may still wait for the writes in flight
		return round, err
	}
	a.stops = append(a.stops, resume)
	return round, nil
}

// declare commits that the storages are in sync. If we die before, they stay
// behind and are copied to again; if after, the intent is in doubt and is resolved.
func (a *attempt) declare(ctx context.Context, round int, storages []string) error {
	if invalidated(a.guard) {
		return repair.ErrInvalidated
	}
	err := a.propose(ctx, fmt.Sprintf("declare %q in sync", storages), func(ctx context.Context) error { return a.guard.MarkInSync(ctx, round, storages) })
	if err == nil {
		a.log.Debug("repository repaired", "virtual_storage", a.request.key.VirtualStorage, "relative_path", a.request.key.RelativePath, "storages", storages)
	}
	return err
}

// propose bounds the wait for one conclusion, which what names.
func (r *repairer) propose(ctx context.Context, what string, conclude func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, proposeTimeout)
	defer cancel()
	if err := conclude(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
