package ledger

import (
	"context"

	"praefect/proxy/ledger/machine"
)

// Remake commits, as of the intent, that the replica of a storage which is behind may be
// removed and copied from nothing. No write of this instance is in flight meanwhile.
func (t *Guard) Remake(ctx context.Context, storage, why string) error {
	return t.conclude(ctx, machine.Remake{Guard: t.id, Storage: storage, Why: why})
}

// StepDown commits, as of the intent, that the repository's primary is behind: the next
// in-sync storage is the primary from there on. No write of this instance is in flight
// meanwhile.
func (t *Guard) StepDown(ctx context.Context, storage, why string) error {
	return t.conclude(ctx, machine.StepDown{Guard: t.id, Storage: storage, Why: why})
}
