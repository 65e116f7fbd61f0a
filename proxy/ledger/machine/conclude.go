package machine

import (
	"errors"
	"fmt"
	"slices"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// conclude commits the finding of a repair. No write of this instance is in flight
// on the repository, and none starts before Free. (▲ machine-conclusion-invalidated,
// machine-write-beside-conclusion)
func (ls *locks) conclude(id ID, e Event) {
	t := ls.guards[id]
	if d, ok := e.(Declare); ok && t != nil && d.Round != t.round { // ▲ machine-declares-former-round: see renew
		ls.emit(Done{Guard: t.id, Err: repair.ErrInvalidated})
		return
	}
	if t != nil && t.granted() && !t.invalidated {
		t.phase = sealed
	}
	ls.ask(id, func(t *guard) {
		if t.invalidated {
			ls.done(t, nil, repair.ErrInvalidated)
			return
		}
		cmd := ls.finding(t, e)
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

// finding is the command of a conclusion, as of the intent of its guard.
func (ls *locks) finding(t *guard, e Event) state.Command {
	key, asOf := t.repo.key, t.asOf
	switch e := e.(type) {
	case Declare:
		return state.Command{MarkInSync: &state.MarkInSync{Key: key, Storages: slices.Clone(e.Storages), AsOf: asOf}}
	case ResolveDoubt:
		found := e.Resolution
		return state.Command{ResolveDoubt: &state.ResolveDoubt{
			Key: key, Doubts: slices.Clone(found.Doubts), Authority: found.Authority,
			PrimaryLacks: found.PrimaryLacks, Equal: slices.Clone(found.Equal), AsOf: asOf,
		}}
	case MarkDoubt:
		t.differs = true // the intent closes at once, because the repair of the doubt waits for that
		return state.Command{MarkDoubt: &state.MarkDoubt{
			Key: key, Primary: e.Primary, Differences: slices.Clone(e.Differences), AsOf: asOf,
		}}
	case EndAdvance:
		found := e.Ending
		return state.Command{EndAdvance: &state.EndAdvance{
			Key: key, Primary: found.Primary, Equal: slices.Clone(found.Equal), Doubts: slices.Clone(found.Doubts), AsOf: asOf,
		}}
	case Conflict:
		return state.Command{MarkConflict: &state.MarkConflict{Key: key, Conflicts: slices.Clone(e.Conflicts), AsOf: asOf}}
	case Remake:
		return state.Command{Remake: &state.Remake{Key: key, Storage: e.Storage, Why: e.Why, AsOf: asOf}}
	case StepDown:
		return state.Command{StepDown: &state.StepDown{Key: key, Storage: e.Storage, Why: e.Why, AsOf: asOf}}
	}
	panic(fmt.Sprintf("%T is no conclusion", e))
}
