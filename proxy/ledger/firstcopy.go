package ledger

import (
	"context"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// Advance gives the repository's primary the role of a target: this instance's intent
// covers scope, and no instance writes to the repository until EndAdvance. Without a
// source it takes up an advance that was interrupted. It returns as Intent does.
func (t *Guard) Advance(ctx context.Context, source string, scope state.Scope) (*state.State, error) {
	a, err := t.ask(ctx, machine.Advance{Guard: t.id, Source: source, Scope: scope})
	if err != nil {
		return nil, err
	}
	t.openedAt = a.wall
	t.ledger.cfg.Failpoint("advance-after-open")
	return a.View, nil
}

// EndAdvance ends an advance as of its intent.
func (t *Guard) EndAdvance(ctx context.Context, e repair.Ending) error {
	return t.conclude(ctx, machine.EndAdvance{Guard: t.id, Ending: e})
}

// MarkConflict replaces the conflicts of the repository, as of the intent.
func (t *Guard) MarkConflict(ctx context.Context, conflicts []state.Conflict) error {
	return t.conclude(ctx, machine.Conflict{Guard: t.id, Conflicts: conflicts})
}
