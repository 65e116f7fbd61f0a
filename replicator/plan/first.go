package plan

import (
	"fmt"

	"praefect/fsm/state"
)

// Newcomer has the findings of the first comparison about one repository on one
// storage that was not compared before.
type Newcomer struct {
	// Founding tells that the replica of the storage counts as much as the one that the primary
	// has; Clean, that no write can have reached the repository since the storage
	// was defined: the ledger does not list it.
	Founding, Clean bool
	// Has tells that the storage has the repository, PrimaryHas that the primary does.
	Has, PrimaryHas bool
	// Contained tells that the primary's replica contains every value of the
	// newcomer's references, and Contains the converse. An absent repository is
	// contained in any; one without references in any that is there.
	Contained, Contains bool
	// Ahead tells, of replicas that contain each other, that each reference of the
	// primary is equal to the newcomer's of the same name, or an ancestor of it.
	Ahead bool
}

// First is the decision of the first comparison about one replica.
type First int

const (
	// FirstKnown: the primary contains the replica. It may be overwritten from now on.
	FirstKnown First = iota
	// FirstAdvance: the replica contains the primary's and more. It is copied onto
	// the primary, whose writes wait meanwhile.
	FirstAdvance
	// FirstConflict: each side may have commits that the other lacks. Both are kept.
	FirstConflict
)

// Meet decides about a newcomer. ▲ plan-overwrites-conflict: A replica whose values the primary
// does not contain is never overwritten. ▲ TestMeet_rules: The primary is only copied onto while no
// client has written: a reference that the newcomer has and the primary lacks could be one that a
// client deleted.
func Meet(n Newcomer) First {
	ahead := n.Contains && (!n.Contained || n.Ahead)
	switch {
	case !n.Has:
		return FirstKnown
	case ahead && n.Founding && n.Clean:
		return FirstAdvance
	case n.Contained && n.PrimaryHas:
		return FirstKnown
	}
	return FirstConflict
}

// Replica has the facts that a comparison after a copy looks at.
type Replica struct {
	// Has tells that the storage has the repository. The rest is empty otherwise.
	Has bool
	// References is a sum over the names and values of all references.
	References string
	// Head is the reference that HEAD names.
	Head string
	// Pool is the path of the object pool that the replica borrows from.
	Pool string
}

// UnlikeError names the difference of a replica from its source.
type UnlikeError struct {
	Storage, Source string
	What            string
}

func (e *UnlikeError) Error() string {
	return fmt.Sprintf("%q differs from %q after the copy: %s", e.Storage, e.Source, e.What)
}

// Unlike names the difference of a replica from its source, empty if there is none.
// ▲ plan-in-sync-unlike, plan-head-unlike, plan-pool-unlike: A storage counts as in sync only if it
// is like the primary: a copy that reports success may have left something out.
func Unlike(source, replica Replica) string {
	switch {
	case source.Has != replica.Has:
		return fmt.Sprintf("one has the repository, and the other does not (source: %t)", source.Has)
	case source.References != replica.References:
		return "references"
	case source.Head != replica.Head:
		return fmt.Sprintf("HEAD names %q, not %q", replica.Head, source.Head)
	case source.Pool != replica.Pool:
		return fmt.Sprintf("it borrows from the object pool %q, not %q", replica.Pool, source.Pool)
	}
	return ""
}

// keeps tells that the storage's replica must be neither overwritten nor removed.
func keeps(s *state.Storage, e *state.Entry) bool {
	return s.Uncompared != "" || e.InConflict(s.Name)
}
