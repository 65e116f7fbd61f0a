package ledger

import (
	"context"

	"praefect/fsm/repair"
	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// conclude commits a finding of the repair, as of its intent. No write of this instance is in flight
// on the repository meanwhile.
func (t *Guard) conclude(ctx context.Context, e machine.Event) error {
	t.ledger.cfg.Failpoint("repair-before-conclusion")
	if _, err := t.ask(ctx, e); err != nil {
		return err
	}
	t.ledger.cfg.Failpoint("repair-after-conclusion")
	return nil
}

// MarkInSync commits that storages are equal to the primary, as of the intent: their copies
// began in the round, 0 before the first Renew. No write starts before Free, which closes the intent
// at once.
func (t *Guard) MarkInSync(ctx context.Context, round int, storages []string) error {
	return t.conclude(ctx, machine.Declare{Guard: t.id, Round: round, Storages: storages})
}

// ResolveDoubt commits a resolution as of the intent. The later conclusions of this guard speak of the
// index at which the resolution was applied.
func (t *Guard) ResolveDoubt(ctx context.Context, s repair.Resolution) error {
	return t.conclude(ctx, machine.ResolveDoubt{Guard: t.id, Resolution: s})
}

// MarkDoubt commits that replicas differ from the primary's and that the ledger had no reason
// for it, as of the intent.
func (t *Guard) MarkDoubt(ctx context.Context, primary string, differences []state.Difference) error {
	return t.conclude(ctx, machine.MarkDoubt{Guard: t.id, Primary: primary, Differences: differences})
}

// EndAdvance ends an advance as of its intent.
func (t *Guard) EndAdvance(ctx context.Context, e repair.Ending) error {
	return t.conclude(ctx, machine.EndAdvance{Guard: t.id, Ending: e})
}

// MarkConflict replaces the conflicts of the repository, as of the intent.
func (t *Guard) MarkConflict(ctx context.Context, conflicts []state.Conflict) error {
	return t.conclude(ctx, machine.Conflict{Guard: t.id, Conflicts: conflicts})
}

// Remake commits, as of the intent, that the replica of a storage which is behind may be
// removed and copied from nothing.
func (t *Guard) Remake(ctx context.Context, storage, why string) error {
	return t.conclude(ctx, machine.Remake{Guard: t.id, Storage: storage, Why: why})
}

// StepDown commits, as of the intent, that the repository's primary is behind: the next
// in-sync storage is the primary from there on.
func (t *Guard) StepDown(ctx context.Context, storage, why string) error {
	return t.conclude(ctx, machine.StepDown{Guard: t.id, Storage: storage, Why: why})
}
