// Package repair has the values that a repair and the repair lock exchange: the replicator finds them, and
// the ledger has them committed.
package repair

import (
	"errors"

	"praefect/fsm/state"
)

// The errors of the repair lock. A command that was refused comes as a *state.Refusal.
var (
	// ErrRepositoryBusy refuses the lock: another repair, or a write, is under way, or
	// something of this instance ended without its status and is not yet
	// recorded as in doubt.
	ErrRepositoryBusy = errors.New("repository is busy")
	// ErrInvalidated refuses a conclusion: a write began during the repair, and the copy may
	// miss it.
	ErrInvalidated = errors.New("a write began during the repair")
)

// Resolution is the finding of a repair about in-doubt intents; see state.ResolveDoubt.
type Resolution struct {
	Doubts       []state.DoubtRef
	Authority    string
	PrimaryLacks bool
	Equal        []string
}

// Ending is the finding of a repair when an advance was over; see state.EndAdvance.
type Ending struct {
	Primary string
	Equal   []string
	Doubts  []state.DoubtRef
}
