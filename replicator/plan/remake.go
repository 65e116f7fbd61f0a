package plan

import (
	"fmt"

	"praefect/fsm/state"
)

// Remaking is all on which it depends whether a replica onto which copies fail is removed
// and copied from nothing. Nothing in it is changed.
type Remaking struct {
	VS    *state.VirtualStorage
	Entry *state.Entry
	// Target is the storage of the replica, Source the one that is copied from.
	Target, Source string
	// Copies is how many copies in a row have failed there, and After how many must have.
	// Broken tells that none will succeed, Remade that the replica was made again a while
	// ago, and none has succeeded since.
	Copies, After  int
	Broken, Remade bool
	// Lends tells that other repositories may borrow objects from the replica.
	Lends bool
	// Failing is onto how many replicas of the target's storage copies fail, and Most onto
	// how many at most for the trouble to be the replicas' own.
	Failing, Most int
	// Running is how many replicas are being made again, and Limit how many may be.
	Running, Limit int
}

// Remake is the decision about a replica onto which copies fail.
type Remake int

// The decisions about a replica.
const (
	// RemakeNot: it is copied onto as it is.
	RemakeNot Remake = iota
	// RemakeNow: it is removed, and copied from nothing.
	RemakeNow
	// RemakeLater: enough others are being made again.
	RemakeLater
	// RemakeStorage: it is copied onto as it is, because copies fail for too many replicas
	// of the storage: the storage is the matter.
	RemakeStorage
	// RemakeInVain: it is copied onto as it is, and a person has to look at it.
	RemakeInVain
)

// Decide decides what becomes of the replica, and says why for people. ▲ TestRemaking_decide: It
// never removes what may be needed: the target is behind and has nothing of its own, the source is
// the primary on another disk, and nothing is in doubt. The replicated state checks the same when
// the removal is permitted (state.Remake).
func (r Remaking) Decide() (Remake, string) {
	if !r.Broken && r.Copies < r.After {
		return RemakeNot, ""
	}
	target := r.VS.Storage(r.Target)
	source, ok := r.VS.Primary(r.Entry)
	switch {
	case target == nil || target.Uncompared != "" || !r.Entry.IsBehind(r.Target) || r.Entry.InConflict(r.Target): // ▲ TestRemaking_decide
		return RemakeNot, ""
	case !ok || source.Name != r.Source || r.Entry.HasDoubt(): // ▲ TestRemaking_decide
		return RemakeNot, ""
	case source.Name == r.Target || source.FilesystemID == target.FilesystemID: // ▲ TestRemaking_decide: it is the only copy
		return RemakeInVain, fmt.Sprintf("copies onto %q fail, and it is on the same disk as the primary %q", r.Target, r.Source)
	case r.Lends: // ▲ TestRemaking_decide: they would miss its objects
		return RemakeInVain, fmt.Sprintf("copies onto %q fail, and other repositories there may borrow from the replica", r.Target)
	case r.Remade:
		return RemakeInVain, fmt.Sprintf("copies onto %q fail, although the replica was made again", r.Target)
	case r.Failing > r.Most:
		return RemakeStorage, fmt.Sprintf("copies onto %d replicas of %q fail", r.Failing, r.Target)
	case r.Running >= r.Limit:
		return RemakeLater, ""
	case r.Broken:
		return RemakeNow, "its objects are gone or damaged"
	}
	return RemakeNow, fmt.Sprintf("%d copies in a row failed", r.Copies)
}
