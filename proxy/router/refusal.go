package router

import (
	"fmt"

	"praefect/fsm/state"
)

// Kind says why nothing could be routed; the proxy maps it to a gRPC code.
type Kind int

// The kinds of a Refusal.
const (
	// UnknownVirtualStorage: the request names a virtual storage that is not configured.
	UnknownVirtualStorage Kind = iota
	// NoPrimary: no in-sync storage may take writes of the repository now.
	NoPrimary
	// TwoPrimaries: the repositories of the request have different primaries.
	TwoPrimaries
	// PrimaryFenced: the primary was taken its role, and its successor is not
	// admitted yet.
	PrimaryFenced
	// PrimaryUnreachable: the primary is known, and this instance cannot reach it.
	PrimaryUnreachable
	// NoInSync: no storage that has every acknowledged write can be reached.
	NoInSync
	// NoStorage: no serving storage of the virtual storage can be reached.
	NoStorage
	// InConflict: the settings have requests of a repository in conflict refused.
	InConflict
)

// Refusal is the error of a request that cannot be routed.
type Refusal struct {
	Kind           Kind
	VirtualStorage string
	// Storage is the primary, where one is known.
	Storage string
	// Other is the primary of the other repository, of TwoPrimaries.
	Other string
	// RelativePath is the repository, of InConflict.
	RelativePath string
	// Why is the state of the connection that stood in the way, if one did.
	Why error
}

// Error names the fault and the next step.
func (r *Refusal) Error() string {
	switch r.Kind {
	case UnknownVirtualStorage:
		return "storage name not found"
	case NoPrimary:
		return "repository has no primary that takes writes; see `praefectctl dataloss`"
	case TwoPrimaries:
		return fmt.Sprintf("the two repositories have different primaries, %q and %q, because one of them misses writes there; try again once it is repaired, "+
			"see `praefectctl dataloss`", r.Other, r.Storage)
	case PrimaryFenced:
		return fmt.Sprintf("primary %q is fenced, and has no successor yet; try again", r.Storage)
	case PrimaryUnreachable:
		return fmt.Sprintf("primary %q cannot be reached: %v", r.Storage, r.Why)
	case NoInSync:
		return fmt.Sprintf("no in-sync storage of the repository can be reached%s; see `praefectctl dataloss`", because(r.Why))
	case NoStorage:
		return fmt.Sprintf("no serving storage of %q can be reached%s", r.VirtualStorage, because(r.Why))
	case InConflict:
		return fmt.Sprintf("repository %q is in conflict: storage %q has what the primary lacks, and consistency.conflicts is \"refuse\"; "+
			"`praefectctl dataloss` shows both sides, and `praefectctl accept-dataloss -virtual-storage %s -repository %s -authoritative-storage STORAGE` chooses one",
			r.RelativePath, r.Storage, r.VirtualStorage, r.RelativePath)
	}
	return "not routed"
}

// Unwrap gives the state of the connection.
func (r *Refusal) Unwrap() error { return r.Why }

func because(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// RefuseConflict refuses requests of repositories of which one is in conflict: nothing says
// which replica is the right one. It is for settings that want no answer then.
func RefuseConflict(view *state.State, keys ...state.Key) error {
	for _, key := range keys {
		if entry := view.Entry(key); entry != nil && len(entry.Conflicts) > 0 {
			return &Refusal{Kind: InConflict, VirtualStorage: key.VirtualStorage, RelativePath: key.RelativePath, Storage: entry.Conflicts[0].Storage}
		}
	}
	return nil
}
