// Package steps owns the order of the effects within one step of a repair, from the repair lock to
// its end. It promises to be pure: Next takes the result of an effect, and returns the next effect.
// Package replicator carries the effects out at the ledger and the storages, and the simulation in
// its model, so that both have the same order.
package steps

import (
	"errors"
	"maps"
	"slices"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/replicator/plan"
)

// Step is one step of a repair: the lock, an intent, another look at the plan, the work, and its
// conclusion. While its copies last, a step also does the work that becomes due, in further rounds:
// until the lock is freed, no other instance can declare anything.
type Step struct {
	plan plan.Plan           // of the work that was begun last
	then func(Result) Effect // takes the result of the last effect
	// wanted are the targets for which the last intent was opened.
	wanted []string
	found  plan.Finding // about the repository of the last copies

	// running are the targets of the copies under way, with the rounds in which they began.
	running map[string]int
	round   int
	// doubtful are the storages at which a call may go on after its end here.
	doubtful []string
	synced   []string
	later    []string // targets to put off
	faults   []error
	met      error // a write, after which a copy counts for nothing
	// broken tells that a conclusion has no answer: nothing more is begun.
	broken bool

	resolution repair.Resolution
}

// New is the step for a plan that says Copy, Resolve or EndAdvance. The first call of Next, with an
// empty result, begins it.
func New(p plan.Plan) *Step {
	s := &Step{running: make(map[string]int)}
	s.then = func(Result) Effect { return s.try(Lock{}, func(Result) Effect { return s.work(p) }) }
	return s
}

// Ending is the end of an advance that the caller has made under a lock of its own. vs and entry are
// of the view of its intent.
func Ending(vs *state.VirtualStorage, entry *state.Entry) *Step {
	s := &Step{}
	s.then = func(Result) Effect { return s.advanced(Result{VS: vs, Entry: entry}) }
	return s
}

// Next takes the result of the effect that it returned last, and returns the next one. Nothing comes
// after End.
func (s *Step) Next(r Result) Effect { return s.then(r) }

// Run has carryOut carry out one effect after the other, and returns the End.
func (s *Step) Run(carryOut func(Effect) Result) End {
	for effect := s.Next(Result{}); ; {
		if end, over := effect.(End); over {
			return end
		}
		effect = s.Next(carryOut(effect))
	}
}

// Begun tells that no copy onto the target is to begin: one is under way, or may be.
func (s *Step) Begun(target string) bool {
	_, running := s.running[target]
	return running || slices.Contains(s.doubtful, target)
}

// Doubtful are the storages at which a call of the step may go on.
func (s *Step) Doubtful() []string {
	return slices.AppendSeq(slices.Clone(s.doubtful), maps.Keys(s.running))
}

// MetWrite reports that err is no fault: a write, or another repair, was under
// way, and the finding or the copy may have missed it.
func MetWrite(err error) bool {
	if refusal, ok := errors.AsType[*state.Refusal](err); ok {
		return refusal.Reason == state.RefusedChanged || refusal.Reason == state.RefusedBusy || refusal.Reason == state.RefusedNoIntent
	}
	return errors.Is(err, repair.ErrRepositoryBusy) || errors.Is(err, repair.ErrInvalidated)
}

// do returns an effect, and has its result brought to then.
func (s *Step) do(e Effect, then func(Result) Effect) Effect {
	s.then = then
	return e
}

// try is do for an effect without which the work cannot go on.
func (s *Step) try(e Effect, then func(Result) Effect) Effect {
	return s.do(e, func(r Result) Effect {
		if r.Err != nil {
			return s.over(r.Err)
		}
		return then(r)
	})
}

// work begins, under the lock, the work that the plan says. Each kind begins with an intent.
func (s *Step) work(p plan.Plan) Effect {
	s.plan, s.wanted = p, p.Targets
	switch p.Action {
	case plan.Resolve:
		return s.try(OpenIntent{}, s.resolve)
	case plan.EndAdvance:
		return s.try(TakeUp{}, s.advanced)
	}
	return s.try(OpenIntent{Targets: p.Targets}, s.copy)
}

func (s *Step) done(Result) Effect { return s.over(nil) }

// over ends the work, which failed unless err is nil. The step ends with its last copy.
func (s *Step) over(err error) Effect {
	if len(s.running) == 0 {
		return s.end(err)
	}
	await := Await{Later: s.later, Stop: s.broken, Err: err}
	if s.later = nil; err != nil {
		await.Later = append(await.Later, s.wanted...)
	}
	return s.do(await, s.awaited)
}

func (s *Step) end(err error) Effect {
	switch {
	case err != nil:
	case len(s.faults) > 0:
		err = errors.Join(s.faults...) // they count as failures, and a write does not
	default:
		err = s.met
	}
	return s.do(End{Arrived: len(s.doubtful) == 0, Synced: s.synced, Err: err}, nil)
}
