package machine

import (
	"errors"
	"maps"
	"slices"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// turn is how far a repair's wish for a turn beside the other instances is.
type turn int

const (
	noTurn  turn = iota // it has no wish in the ledger
	wishing             // it has one, or may have
	awaited             // and waits until the other instances have closed their intents
)

// wish proposes a repair's wish, and answers when no other instance has a live intent on the
// repository.
func (ls *locks) wish(e Wish) {
	ls.ask(e.Guard, func(t *guard) {
		if ls.view.Entry(t.repo.key) == nil {
			ls.done(t, nil, nil) // a scan comes by: no instance has an intent
			return
		}
		cmd := state.Command{Wish: &state.Wish{Key: t.repo.key, BoundMillis: e.Bound.Milliseconds()}}
		t.turn = max(t.turn, wishing)
		ls.propose(t, cmd, func(_ state.Index, err error) {
			if err == nil {
				t.turn = awaited
				ls.giveTurn(t)
				return
			}
			if refusal, ok := errors.AsType[*state.Refusal](err); ok {
				t.turn = noTurn
				if refusal.Reason == state.RefusedUnknown {
					err = repair.ErrInvalidated // the fault that it was to repair is repaired
				}
			}
			ls.done(t, nil, err)
		})
	})
}

// giveTurn answers a guard whose wish the other instances have fulfilled.
func (ls *locks) giveTurn(t *guard) {
	if t.turn == awaited && ls.view.Entry(t.repo.key).LiveBeside(ls.incarnation) == 0 {
		t.turn = wishing
		ls.done(t, nil, nil)
	}
}

// giveTurns answers every guard whose wish the view fulfils.
func (ls *locks) giveTurns() {
	for _, id := range slices.Sorted(maps.Keys(ls.guards)) {
		ls.giveTurn(ls.guards[id])
	}
}

// unwish takes a wish back, when its repair is over. If that fails the wish ends with its
// bound.
func (ls *locks) unwish(t *guard) {
	if t.turn == noTurn || t.repo.busy || ls.stopped || ls.retired {
		return
	}
	ls.intents.propose([]*repo{t.repo}, []state.Command{{Wish: &state.Wish{Key: t.repo.key}}}, func(Answer) {})
}
