package plan

import (
	"fmt"

	"praefect/fsm/state"
)

// Verb is what is done to one replica to make it equal to the primary's.
type Verb int

const (
	// VerbNone: both lack the repository; they are equal.
	VerbNone Verb = iota
	// VerbCopy replicates the repository from the primary.
	VerbCopy
	// VerbRemove removes the repository.
	VerbRemove
)

// Finding is what the storages answered about one repository.
type Finding struct {
	// Source tells that the primary has it, Deleted that the ledger says it was
	// deleted.
	Source, Deleted bool
	// Target tells that the target has it; not asked if Source or Deleted.
	Target bool
	// Witness is an in-sync serving storage that has it although the primary
	// does not; only asked before something would be removed that nobody is
	// known to have deleted.
	Witness string
}

// Choose decides what to do to the replica of one target. Nothing is
// removed on the ground that the primary lacks it alone: either the ledger says
// that it was deleted, or the target is a storage being backfilled whose content
// was declared void by its change of disk.
func Choose(target *state.Storage, f Finding) (Verb, error) {
	switch {
	case f.Source:
		return VerbCopy, nil
	case f.Deleted:
		return VerbRemove, nil
	case !f.Target:
		return VerbNone, nil
	case target.State == state.Backfilling && target.New:
		return VerbNone, &ForeignError{storage: target.Name}
	case target.State == state.Backfilling && f.Witness == "":
		return VerbRemove, nil
	case f.Witness != "":
		return VerbNone, fmt.Errorf("the primary lacks a repository that %q has", f.Witness)
	}
	return VerbNone, fmt.Errorf("the primary lacks a repository that %q has", target.Name)
}

// MustAsk reports whether the witnesses must be asked before the verb for the
// target can be chosen.
func MustAsk(target *state.Storage, f Finding) bool {
	return !f.Source && !f.Deleted && f.Target && target.State == state.Backfilling && !target.New
}

// ForeignError says that a storage came with a repository which nothing else
// has. It was never ours, so it is not removed, and the storage cannot serve.
type ForeignError struct{ storage string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%q had the repository before it was added, and no other storage has it: move it away, or track it", e.storage)
}
