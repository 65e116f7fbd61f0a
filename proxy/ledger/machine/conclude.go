package machine

import (
	"errors"
	"slices"

	"praefect/fsm/state"
)

// commitConclusion commits the finding of a repair. No write of this instance is in flight
// on the repository, and none starts before Free. (▲ machine-conclusion-invalidated,
// machine-write-beside-conclusion)
func (ls *locks) commitConclusion(id ID, command func(*guard) state.Command) {
	if t := ls.guards[id]; t != nil && t.granted() && !t.invalidated {
		t.phase = sealed
	}
	ls.ask(id, func(t *guard) {
		if t.invalidated {
			ls.done(t, nil, ErrInvalidated)
			return
		}
		cmd := command(t)
		t.repo.distrusted = true
		ls.propose(t, cmd, func(at state.Index, err error) {
			if errors.Is(err, ErrUnknown) {
				// It may yet be applied: before anything is copied again, an intent
				// must be, which comes after it or in its stead.
				t.repo.intent = min(t.repo.intent, unsure)
				ls.done(t, nil, err)
				return
			}
			// A repair may go on for other storages. The writes that begin now go by the
			// view with the conclusion in it, and invalidate later conclusions of the guard.
			t.phase = min(t.phase, granted)
			ls.intents.resumeWaiters(t.repo)
			if err == nil {
				t.inSync = cmd.MarkInSync != nil
				t.asOf = max(t.asOf, at)
			}
			ls.done(t, nil, err)
		})
	})
}

func (ls *locks) declare(e Declare) {
	if t := ls.guards[e.Guard]; t != nil && e.Round != t.round { // ▲ machine-declares-former-round: see renew
		ls.emit(Done{Guard: e.Guard, Err: ErrInvalidated})
		return
	}
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{MarkInSync: &state.MarkInSync{Key: t.repo.key, Storages: slices.Clone(e.Storages), AsOf: t.asOf}}
	})
}

func (ls *locks) resolveDoubt(e ResolveDoubt) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		s := e.Resolution
		return state.Command{ResolveDoubt: &state.ResolveDoubt{
			Key: t.repo.key, Doubts: slices.Clone(s.Doubts), Authority: s.Authority,
			PrimaryLacks: s.PrimaryLacks, Equal: slices.Clone(s.Equal), AsOf: t.asOf,
		}}
	})
}

// markDoubt commits the finding of a verification. The intent then closes at once, because the
// repair of the doubt waits for it.
func (ls *locks) markDoubt(e MarkDoubt) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		t.differs = true
		return state.Command{MarkDoubt: &state.MarkDoubt{
			Key: t.repo.key, Primary: e.Primary, Differences: slices.Clone(e.Differences), AsOf: t.asOf,
		}}
	})
}

func (ls *locks) endAdvance(e EndAdvance) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{EndAdvance: &state.EndAdvance{
			Key: t.repo.key, Primary: e.Ending.Primary, Equal: slices.Clone(e.Ending.Equal), Doubts: slices.Clone(e.Ending.Doubts), AsOf: t.asOf,
		}}
	})
}

func (ls *locks) conflict(e Conflict) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{MarkConflict: &state.MarkConflict{Key: t.repo.key, Conflicts: slices.Clone(e.Conflicts), AsOf: t.asOf}}
	})
}

func (ls *locks) remake(e Remake) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{Remake: &state.Remake{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}

func (ls *locks) stepDown(e StepDown) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{StepDown: &state.StepDown{Key: t.repo.key, Storage: e.Storage, Why: e.Why, AsOf: t.asOf}}
	})
}
