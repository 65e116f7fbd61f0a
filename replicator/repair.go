package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/steps"
)

const (
	// maxSteps bounds the steps of one repair: a resolution, the copies that it made
	// necessary, and all changes meanwhile, twice over.
	maxSteps = 6
	// markedDelay is the wait for another instance's intent, which lingers for
	// some seconds.
	markedDelay = 2 * time.Second
	// waitLongest bounds how long a repair that must wait is put off at a time.
	waitLongest = 5 * time.Minute
)

// repairer repairs one repository at a time for each caller, and may have many
// callers. It keeps no state of a repair beyond its end: the next repair finds
// everything in the ledger.
type repairer struct {
	ledger    Ledger
	locks     RepairLocks
	calls     *calls
	stamp     Stamp
	cfg       Config
	log       *slog.Logger
	metrics   *Metrics
	alarms    *alarms
	firstSeen *firstSeen
	backoffs  *backoffs
	troubles  *troubles
	slots     *slots
	remakes   *remakes
}

// repairRequest asks for a repair.
type repairRequest struct {
	key state.Key
	// backfilling asks for copies onto the backfilling storages, too, whether or not
	// they are behind.
	backfilling bool
	// stopped reports that no further step shall begin; nil means never.
	stopped func() bool
	// grant is the turn at the storages of the copy that comes next.
	grant *grant
}

// outcome is how a repair ended: it failed with err; or it is to be repeated
// after again; or nothing is left that can be done now.
type outcome struct {
	err   error
	again time.Duration
	// waits is the reason for which the next one has to wait, empty if for nothing in particular.
	waits plan.Reason
	// synced are the storages that it declared in sync.
	synced []string
}

// repair does the steps that the ledger now calls for, one after the other: each step takes
// the repair lock, does one thing, and gives the repair lock back. ctx ends the calls under
// way, too; their effects are then unknown, and recorded as such.
//
// A panic ends this repair only.
func (r *repairer) repair(ctx context.Context, o repairRequest) (out outcome) {
	defer func() {
		if cause := recover(); cause != nil {
			out.err = fmt.Errorf("repair panicked: %v", cause)
			r.log.Error("repair panicked", "virtual_storage", o.key.VirtualStorage, "relative_path", o.key.RelativePath,
				"err", out.err, "stack", string(debug.Stack()))
		}
	}()
	out.again, out.err = r.steps(ctx, o, &out)
	switch {
	case errors.Is(out.err, errPoolBehind):
		out.waits = plan.Pool
	case out.err != nil:
		out.waits = plan.Failed
	}
	return out
}

// steps does step after step, and notes in out the storages that they declared in sync
// and the reason for which the next one waits. It returns as repair does.
func (r *repairer) steps(ctx context.Context, o repairRequest, out *outcome) (again time.Duration, err error) {
	defer func() { o.grant.end() }() // a panic included
	for range maxSteps {
		if ctx.Err() != nil || o.stopped != nil && o.stopped() {
			return busyDelayMin, nil
		}
		p := r.plan(r.ledger.View(), o.key, o.backfilling)
		switch p.Action {
		case plan.Idle:
			r.backoffs.forget(o.key)
			if p.Well {
				r.alarms.clear(o.key)
			}
			r.log.Debug("nothing to repair", "virtual_storage", o.key.VirtualStorage, "relative_path", o.key.RelativePath, "why", p.Why)
			return 0, nil
		case plan.Wait:
			out.waits = p.For.Reason
			if p.For.Reason == plan.LiveIntent {
				// An intent of writes that never end would keep the repair waiting. Once it
				// has its turn, the other instances are asked to close theirs: see take.
				if !r.wishes(o.key) {
					return r.metWrite(o.key, false, repair.ErrRepositoryBusy), nil
				}
				p = r.planned(r.ledger.View(), o.key, o.backfilling, true)
				if p.Action != plan.Copy && p.Action != plan.Resolve {
					return markedDelay, nil // the next step sees how it is
				}
				break
			}
			if p.Wait == 0 {
				return backOffAfter(markedDelay, markedDelay, 1, rand.Float64()), nil
			}
			return min(p.Wait, waitLongest), nil
		}
		if left := r.backoffs.left(o.key); left > 0 {
			out.waits = r.backoffs.get(o.key).reason()
			return left, nil
		}
		o.grant = nil
		if p.Action == plan.Copy && !o.backfilling { // a scan has bounds of its own
			var wait time.Duration
			if o.grant, wait = r.slots.take(ctx, o.key.VirtualStorage, p.Targets); o.grant == nil {
				out.waits = plan.Limit
				return wait, nil
			}
			p.Targets = slices.DeleteFunc(p.Targets, func(target string) bool { return !o.grant.has(target) })
		}
		paused := r.cfg.PauseBudget > 0 && r.backoffs.get(o.key).pausesWrites()
		equal, err := r.attempt(ctx, o, p, paused)
		o.grant.end()
		out.synced = append(out.synced, equal...)
		switch {
		case err == nil:
			if p.Action == plan.Copy {
				// The ledger knows of the backfilling storages from here on.
				o.backfilling = false
				r.backoffs.forget(o.key)
				r.alarms.clear(o.key)
			}
		case errors.Is(err, errLater):
			out.waits = plan.Limit
			return backOffAfter(waitLongest/10, waitLongest/10, 1, rand.Float64()), nil
		case steps.MetWrite(err):
			again = r.metWrite(o.key, paused, err)
			out.waits = r.backoffs.get(o.key).reason()
			return again, nil
		case ctx.Err() != nil:
			return busyDelayMin, nil
		default:
			return 0, err
		}
	}
	return busyDelayMax, nil
}

// wishes tells whether writes are to wait for the repair, at every instance.
func (r *repairer) wishes(key state.Key) bool {
	return r.cfg.PauseBudget > 0 && r.backoffs.get(key).pausesWrites()
}

// plan decides the next step for a repository by the present knowledge.
func (r *repairer) plan(view *state.State, key state.Key, backfilling bool) plan.Plan {
	return r.planned(view, key, backfilling, false)
}

// planned is plan; turn tells that other instances are asked to close their intents first.
func (r *repairer) planned(view *state.State, key state.Key, backfilling, turn bool) plan.Plan {
	r.firstSeen.look(view.Index)
	return plan.Make(plan.Situation{
		VS:          view.VirtualStorage(key.VirtualStorage),
		Entry:       view.Entry(key),
		Self:        r.ledger.Incarnation(),
		Backfilling: backfilling,
		Turn:        turn,
		Reachable:   func(storage string) bool { return r.calls.reachable(key.VirtualStorage, storage) },
		Left:        r.firstSeen.left,
	})
}

// metWrite counts a repair that a write got in the way of, and returns when to
// try again. After PauseTries in which writes waited in vain it raises an alarm,
// and goes on.
func (r *repairer) metWrite(key state.Key, paused bool, err error) time.Duration {
	backOff := r.backoffs.metWrite(key, paused, errors.Is(err, repair.ErrInvalidated), r.cfg.RetryMax, rand.Float64())
	if backOff.pauses >= r.cfg.PauseTries {
		r.alarms.raise(key, AlarmBusy, err)
	}
	return time.Until(backOff.until)
}

// acquire takes the repair lock of a repository. When paused, new writes wait from now
// until the guard is freed, or for the pause budget, whichever is sooner; the
// caller calls done in place of Free.
func (r *repairer) acquire(ctx context.Context, key state.Key, paused bool) (guard Guard, done func(ended bool, doubtful ...string), err error) {
	if !paused {
		guard, err = r.locks.Lock(ctx, key, false)
		if err != nil {
			return nil, nil, err
		}
		return guard, guard.Free, nil
	}
	resume, err := r.pauseWrites(ctx, func(draining context.Context) (Guard, error) {
		guard, err = r.locks.Lock(draining, key, true)
		return guard, err
	}, func() { guard.Free(true) })
	if err != nil {
		return nil, nil, err
	}
	return guard, func(ended bool, doubtful ...string) { resume(); guard.Free(ended, doubtful...) }, nil
}

// pauseWrites has new writes wait, here by acquire and at the other instances by a wish, for the
// pause budget at most. If the wish fails, giveUp undoes acquire. The caller calls resume
// at the end.
func (r *repairer) pauseWrites(ctx context.Context, acquire func(context.Context) (Guard, error), giveUp func()) (resume func(), err error) {
	r.metrics.pauses.Inc()
	begin := time.Now()
	draining, cancel := context.WithTimeout(ctx, r.cfg.PauseBudget)
	defer cancel()
	guard, err := acquire(draining)
	if err == nil {
		r.metrics.wishes.Inc()
		if err = guard.Wish(draining, r.cfg.PauseBudget); err != nil {
			giveUp()
		}
	}
	switch {
	case err == nil:
	case ctx.Err() == nil && draining.Err() != nil:
		// The writes in flight, here or at another instance, did not end within the budget.
		return nil, repair.ErrRepositoryBusy
	default:
		return nil, err
	}
	// A copy that is not done by then goes on without a pause, and leaves less
	// to do for the next one.
	timer := time.AfterFunc(r.cfg.PauseBudget-time.Since(begin), guard.Resume)
	return func() { timer.Stop() }, nil
}
