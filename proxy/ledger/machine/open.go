package machine

import (
	"errors"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// openForRepair makes the intent wide enough for the work of a repair.
func (ls *locks) openForRepair(e OpenIntent) {
	ls.ask(e.Guard, func(t *guard) {
		r := t.repo
		t.scope = union(t.scope, e.Scope)
		if r.covered(state.Open, e.Scope) {
			ls.answerIntent(t)
			return
		}
		ls.open(t, state.Open, e.Scope, state.Command{Open: &state.OpenIntent{
			VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, Kind: state.Open, Scope: e.Scope,
		}})
	})
}

// open proposes the command that opens an intent for the repair, and answers it.
func (ls *locks) open(t *guard, kind state.IntentKind, scope state.Scope, cmd state.Command) {
	ls.propose(t, cmd, func(at state.Index, err error) {
		if err == nil || errors.Is(err, ErrUnknown) { // then at is 0
			t.repo.opened(kind, scope, at)
		}
		if err != nil {
			ls.done(t, nil, err)
			return
		}
		ls.answerIntent(t)
	})
}

// advanceFrom opens the intent of an advance. An intent of ours that lingers says that the
// repository was written: it is closed first.
func (ls *locks) advanceFrom(e Advance) {
	ls.ask(e.Guard, func(t *guard) {
		r := t.repo
		if r.intent != absent {
			r.prompt = true
			ls.done(t, nil, repair.ErrRepositoryBusy)
			return
		}
		t.advances = true
		t.scope = union(t.scope, e.Scope)
		ls.open(t, state.PrimaryOnly, e.Scope, state.Command{Advance: &state.Advance{Key: r.key, Source: e.Source, Scope: e.Scope}})
	})
}

// answerIntent answers an OpenIntent. The conclusions of the repair speak of this view: if a
// command changes the entry after it, the conclusion is refused. (▲ machine-conclusion-of-later)
func (ls *locks) answerIntent(t *guard) {
	if entry := ls.view.Entry(t.repo.key); entry != nil {
		t.asOf = entry.Changed
	}
	if !ls.mayRoute() {
		ls.done(t, nil, repair.ErrRepositoryBusy)
		return
	}
	ls.done(t, ls.view, nil)
}

// propose proposes a command for a repair. then gets the index at which it was applied, or why it
// was not; or ErrUnknown.
func (ls *locks) propose(t *guard, cmd state.Command, then func(state.Index, error)) {
	ls.intents.propose([]*repo{t.repo}, []state.Command{cmd}, func(a Answer) {
		switch {
		case a.Err != nil:
			then(0, a.Err)
		case a.Results[0].Refusal != nil:
			then(0, a.Results[0].Refusal)
		default:
			then(a.Results[0].Index, nil)
		}
	})
}
