package router

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// Write is where a write goes.
type Write struct {
	// Primary is the repository's primary at the view's index.
	Primary string
	// Votes tells that the destinations vote on the write.
	Votes bool
	// Mute is the storage that cannot vote, because of which a write that could does
	// not; empty if there is none.
	Mute string
	// Others are the destinations beside the primary, in the order of the
	// succession; none unless the write votes.
	Others []string
	// Epoch is the virtual storage's epoch there; `wrote` is refused if the
	// primary was fenced after it.
	Epoch uint64
}

// RouteWrite names the primary of every one of the keys, which are of one
// virtual storage. There is no second choice: only a change of the agreed
// state makes another storage the primary.
//
// A write that can vote goes to every usable storage that serves and is in sync for all of the
// keys, provided that each of them has a channel to vote over; otherwise to the primary alone,
// without votes.
func RouteWrite(view *state.State, keys []state.Key, canVote bool, reach ReachabilityOf) (Write, error) {
	vs := view.VirtualStorage(keys[0].VirtualStorage)
	if vs == nil {
		return Write{}, &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: keys[0].VirtualStorage}
	}
	var primary state.Storage
	for i, key := range keys {
		p, ok := vs.Primary(view.Entry(key))
		switch {
		case !ok && p.Name != "": // ▲ TestMachine_heldWritesGoToTheSuccessor: it keeps its place: no other storage is written to
			return Write{}, &Refusal{Kind: PrimaryFenced, VirtualStorage: vs.Name, Storage: p.Name}
		case ok && i > 0 && p.Name != primary.Name:
			return Write{}, &Refusal{Kind: TwoPrimaries, VirtualStorage: vs.Name, Storage: p.Name, Other: primary.Name}
		case !ok:
			return Write{}, &Refusal{Kind: NoPrimary, VirtualStorage: vs.Name, Storage: p.Name}
		}
		primary = p
	}
	if r := reach(primary.Name); !usable(&primary, r) {
		return Write{}, &Refusal{Kind: PrimaryUnreachable, VirtualStorage: vs.Name, Storage: primary.Name, Why: unusable(&primary, r)}
	}
	write := Write{Primary: primary.Name, Epoch: vs.Epoch}
	if canVote {
		write.Others, write.Mute = destinations(view, vs, keys, reach)
		write.Votes = write.Mute == ""
	}
	return write, nil
}

// destinations lists the voters beside the primary, the first storage that serves and is in sync;
// mute is one of them that cannot vote.
func destinations(view *state.State, vs *state.VirtualStorage, keys []state.Key, reach ReachabilityOf) (others []string, mute string) {
	primary := true
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if s.State != state.Serving || slices.ContainsFunc(keys, func(k state.Key) bool { return view.Entry(k).IsBehind(s.Name) }) {
			continue
		}
		r := reach(s.Name)
		if !usable(s, r) {
			continue // it falls behind before the write has an effect
		}
		if !r.Backchannel {
			return nil, s.Name
		}
		if !primary {
			others = append(others, s.Name)
		}
		primary = false
	}
	return others, ""
}

// RouteMaintenance names every reachable serving storage: the storages that are in sync for the
// repository, and the storages that are behind. ▲ TestRouting_everyMethod: A call that prunes must
// not go to the latter: one may be under repair, and pruning could remove objects that a copy is
// about to refer to. Any other call must: housekeeping removes the stale locks for which a replica
// cannot be repaired.
func RouteMaintenance(view *state.State, key state.Key, reach ReachabilityOf) (inSync, behind []string, err error) {
	vs := view.VirtualStorage(key.VirtualStorage)
	if vs == nil {
		return nil, nil, &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: key.VirtualStorage}
	}
	entry := view.Entry(key)
	var why error
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if s.State != state.Serving {
			continue
		}
		r := reach(s.Name)
		switch {
		case entry.IsBehind(s.Name) && usable(s, r):
			behind = append(behind, s.Name)
		case entry.IsBehind(s.Name):
		case usable(s, r):
			inSync = append(inSync, s.Name)
		default:
			why = unusable(s, r)
		}
	}
	if len(inSync) == 0 {
		return nil, nil, &Refusal{Kind: NoInSync, VirtualStorage: vs.Name, Why: why}
	}
	return inSync, behind, nil
}

// unusable says why a storage is not used although the view would have it.
func unusable(s *state.Storage, r Reachability) error {
	switch {
	case !r.OK && r.Why != nil:
		return r.Why
	case !r.OK:
		return fmt.Errorf("no connection to storage %q yet", s.Name)
	case s.FilesystemID == "":
		return fmt.Errorf("the disk of storage %q is not recorded yet", s.Name)
	}
	return fmt.Errorf("storage %q has another disk (%s, was %s)", s.Name, r.FilesystemID, s.FilesystemID)
}
