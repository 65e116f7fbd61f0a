package plan

import (
	"fmt"

	"praefect/fsm/state"
)

// Verb is the action on one replica to make it equal to the primary's.
type Verb int

const (
	// VerbNone: both lack the repository; they are equal.
	VerbNone Verb = iota
	// VerbCopy replicates the repository from the primary.
	VerbCopy
	// VerbRemove removes the repository.
	VerbRemove
)

// Finding has the answers of the storages about one repository.
type Finding struct {
	// Source tells that the primary has it, Deleted that the ledger says it was
	// deleted.
	Source, Deleted bool
	// Target tells that the target has it; not asked if Source or Deleted.
	Target bool
}

// Choose decides about the replica of one target. Nothing is
// removed on the ground that the primary lacks it alone: the ledger must say that
// it was deleted.
func Choose(target *state.Storage, f Finding) (Verb, error) {
	switch {
	case f.Source:
		return VerbCopy, nil
	case f.Deleted:
		return VerbRemove, nil
	case !f.Target:
		return VerbNone, nil
	}
	return VerbNone, fmt.Errorf("the primary lacks a repository that %q has", target.Name)
}
