package machine

import (
	"maps"
	"slices"

	"praefect/fsm/state"
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
		t.wished = true
		ls.intents.propose([]*repo{t.repo}, []state.Command{cmd}, func(a Answer) {
			if a.Err != nil {
				ls.done(t, nil, a.Err)
				return
			}
			if refusal := a.Results[0].Refusal; refusal != nil {
				t.wished = false
				if refusal.Reason == state.RefusedUnknown {
					ls.done(t, nil, ErrInvalidated) // the fault that it was to repair is repaired
					return
				}
				ls.done(t, nil, refusal)
				return
			}
			t.turn = true
			ls.granted(t)
		})
	})
}

// granted answers a guard whose wish the other instances have fulfilled.
func (ls *locks) granted(t *guard) {
	if !t.turn || ls.view.Entry(t.repo.key).LiveBeside(ls.incarnation) != 0 {
		return
	}
	t.turn = false
	ls.done(t, nil, nil)
}

// giveTurns answers every guard whose wish the view fulfils.
func (ls *locks) giveTurns() {
	for _, id := range slices.Sorted(maps.Keys(ls.guards)) {
		ls.granted(ls.guards[id])
	}
}

// unwish takes a wish back, when its repair is over. If that fails the wish ends with its
// bound.
func (ls *locks) unwish(t *guard) {
	if !t.wished || t.repo.busy || ls.stopped || ls.retired {
		return
	}
	ls.intents.propose([]*repo{t.repo}, []state.Command{{Wish: &state.Wish{Key: t.repo.key}}}, func(Answer) {})
}
