package machine

import (
	"slices"

	"praefect/fsm/state"
)

// Advance has the repository's primary become the target of a copy from Source,
// or takes up an advance that was interrupted, without a source. It opens this
// instance's intent, as Intent does, and is answered as that is.
type Advance struct {
	Guard  ID
	Source string
	Scope  state.Scope
}

// EndAdvance has an advance ended, as of its intent.
type EndAdvance struct {
	Guard  ID
	Ending Ending
}

// Ending is the finding of a repair when an advance was over; see state.EndAdvance.
type Ending struct {
	Primary string
	Equal   []string
	Doubts  []state.DoubtRef
}

// Conflict has the conflicts of the repository replaced, as of the intent.
type Conflict struct {
	Guard     ID
	Conflicts []state.Conflict
}

func (Advance) event()    {}
func (EndAdvance) event() {}
func (Conflict) event()   {}

// advanceFrom is intent for an advance. An intent of ours that lingers says that the
// repository was written: it is closed first.
func (ls *locks) advanceFrom(e Advance) {
	ls.ask(e.Guard, func(t *guard) {
		r := t.repo
		if r.live {
			r.prompt = true
			ls.done(t, nil, ErrRepositoryBusy)
			return
		}
		t.advances = true
		t.scope = union(t.scope, e.Scope)
		command := state.Command{Advance: &state.Advance{Key: r.key, Source: e.Source, Scope: e.Scope}}
		ls.intents.propose([]*repo{r}, []state.Command{command}, func(a Answer) {
			if a.Err != nil {
				r.opened(state.PrimaryOnly, e.Scope, 0)
				ls.done(t, nil, a.Err)
				return
			}
			if refusal := a.Results[0].Refusal; refusal != nil {
				ls.done(t, nil, refusal)
				return
			}
			r.opened(state.PrimaryOnly, e.Scope, a.Results[0].Index)
			ls.answerIntent(t)
		})
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
