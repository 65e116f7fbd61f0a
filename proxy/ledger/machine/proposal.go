package machine

import (
	"fmt"

	"praefect/fsm/state"
)

// proposal is a set of commands that was proposed and has no answer yet.
type proposal struct {
	repos    []*repo
	commands int
	then     func(Answer)
}

// propose proposes commands that touch repos, none of which is busy. then gets
// the answer, before any write or repair that waits for the repositories.
func (is *intents) propose(repos []*repo, commands []state.Command, then func(Answer)) {
	for _, r := range repos {
		is.unpark(r)
		is.queueFlush(r)
		r.busy = true
	}
	is.lastProposal++
	is.proposals[is.lastProposal] = &proposal{repos: repos, commands: len(commands), then: then}
	is.emit(Propose{Proposal: is.lastProposal, Commands: commands})
}

func (is *intents) answered(a Answer) {
	p := is.proposals[a.Proposal]
	if p == nil {
		return
	}
	delete(is.proposals, a.Proposal)
	for _, r := range p.repos {
		r.busy = false
		is.resumeWaiters(r)
	}
	if a.Err == nil && len(a.Results) != p.commands {
		a.Err = fmt.Errorf("%d answers to %d commands", len(a.Results), p.commands)
	}
	if a.Err != nil {
		a.Results, a.Err = nil, fmt.Errorf("%w: %w", ErrUnknown, a.Err)
	}
	p.then(a)
}
