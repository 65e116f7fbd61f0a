package replicator

import (
	"fmt"

	"praefect/fsm/state"
)

// verb is what is done to one replica to make it equal to the primary's.
type verb int

const (
	// verbNone: both lack the repository; they are equal.
	verbNone verb = iota
	// verbCopy replicates the repository from the primary.
	verbCopy
	// verbRemove removes the repository.
	verbRemove
)

// finding is what the storages answered about one repository.
type finding struct {
	// source tells that the primary has it, deleted that the ledger says it was
	// deleted.
	source, deleted bool
	// target tells that the target has it; not asked if source or deleted.
	target bool
	// witness is an in-sync serving storage that has it although the primary
	// does not; only asked before something would be removed that nobody is
	// known to have deleted.
	witness string
}

// chooseVerb decides what to do to the replica of one target. Nothing is
// removed on the ground that the primary lacks it alone: either the ledger says
// that it was deleted, or the target is a storage being filled whose content
// was declared void by its change of disk.
func chooseVerb(target *state.Storage, f finding) (verb, error) {
	switch {
	case f.source:
		return verbCopy, nil
	case f.deleted:
		return verbRemove, nil
	case !f.target:
		return verbNone, nil
	case target.Standing == state.Filling && target.New:
		return verbNone, &foreignError{storage: target.Name}
	case target.Standing == state.Filling && f.witness == "":
		return verbRemove, nil
	case f.witness != "":
		return verbNone, fmt.Errorf("the primary lacks a repository that %q has", f.witness)
	}
	return verbNone, fmt.Errorf("the primary lacks a repository that %q has", target.Name)
}

// mustAsk reports whether the witnesses must be asked before the verb for the
// target can be chosen.
func mustAsk(target *state.Storage, f finding) bool {
	return !f.source && !f.deleted && f.target && target.Standing == state.Filling && !target.New
}

// foreignError says that a storage came with a repository which nothing else
// has. It was never ours, so it is not removed, and the storage cannot serve.
type foreignError struct{ storage string }

func (e *foreignError) Error() string {
	return fmt.Sprintf("%q had the repository before it was added, and no other storage has it: move it away, or track it", e.storage)
}
