package router

import (
	"slices"

	"praefect/fsm/state"
)

// Read is a request that changes nothing.
type Read struct {
	Key state.Key
	// PrimaryOnly is set for methods whose answer depends on packing, and when
	// the client asks for it.
	PrimaryOnly bool
	// Tried are the storages that failed this request before they answered.
	Tried []string
}

// RouteRead names the storage that serves a read: of the storages that are in sync and reachable
// the one with the fewest requests under way, at random (intn) among equals. While a write may be
// under way that does not vote, only the primary has every acknowledged write for certain.
func RouteRead(view *state.State, read Read, reach ReachabilityOf, intn func(int) int) (string, error) {
	vs := view.VirtualStorage(read.Key.VirtualStorage)
	if vs == nil {
		return "", &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: read.Key.VirtualStorage}
	}
	entry := view.Entry(read.Key)
	switch rule(read, entry) {
	case PrimaryOnly:
		return readPrimary(vs, entry, read, reach)
	case PrimaryFirst:
		if name, err := readPrimary(vs, entry, read, reach); err == nil {
			return name, nil
		}
	}
	name, why := choose(vs, reach, intn, func(s *state.Storage) bool {
		return inSync(s, entry) && !slices.Contains(read.Tried, s.Name)
	})
	if name == "" {
		return "", &Refusal{Kind: NoInSync, VirtualStorage: vs.Name, Why: why}
	}
	return name, nil
}

// rule is the one by which a read of the repository is routed.
func rule(read Read, entry *state.Entry) Rule {
	switch {
	case read.PrimaryOnly || entry.HasPrimaryOnly(): // ▲ router-reads-beside-primary-only: the others fall behind as we speak
		return PrimaryOnly
	case entry.HasDoubt() || entry.IsAdvancing():
		return PrimaryFirst
	}
	return AnyInSync
}

// readPrimary reads from the first in-sync storage; unlike a write it may do so
// while that storage is fenced.
func readPrimary(vs *state.VirtualStorage, entry *state.Entry, read Read, reach ReachabilityOf) (string, error) {
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if !inSync(s, entry) {
			continue
		}
		if slices.Contains(read.Tried, s.Name) {
			return "", &Refusal{Kind: NoInSync, VirtualStorage: vs.Name, Storage: s.Name}
		}
		if r := reach(s.Name); !usable(s, r) {
			return "", &Refusal{Kind: NoInSync, VirtualStorage: vs.Name, Storage: s.Name, Why: unusable(s, r)}
		}
		return s.Name, nil
	}
	return "", &Refusal{Kind: NoInSync, VirtualStorage: vs.Name}
}

// RouteStorage names a serving storage for a request that names no repository.
func RouteStorage(view *state.State, virtualStorage string, reach ReachabilityOf, intn func(int) int) (string, error) {
	vs := view.VirtualStorage(virtualStorage)
	if vs == nil {
		return "", &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: virtualStorage}
	}
	name, why := choose(vs, reach, intn, func(s *state.Storage) bool { return s.State == state.Serving })
	if name == "" {
		return "", &Refusal{Kind: NoStorage, VirtualStorage: vs.Name, Why: why}
	}
	return name, nil
}

// choose names the usable storage with the fewest requests under way among the ones that may serve,
// each of equals with equal chance; or none, and the obstacle at the last one. One that is stalled
// comes after all others.
func choose(vs *state.VirtualStorage, reach ReachabilityOf, intn func(int) int, may func(*state.Storage) bool) (name string, why error) {
	var best Reachability
	equal := 0
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if !may(s) {
			continue
		}
		r := reach(s.Name)
		if !usable(s, r) {
			why = unusable(s, r)
			continue
		}
		switch {
		case name == "" || r.before(best):
			name, best, equal = s.Name, r, 1
		case !best.before(r):
			equal++
			if intn(equal) == 0 {
				name = s.Name
			}
		}
	}
	return name, why
}

// before tells whether a read rather goes over r than over other.
func (r Reachability) before(other Reachability) bool {
	if r.Stalled != other.Stalled {
		return other.Stalled
	}
	return r.Outstanding < other.Outstanding
}

// inSync tells whether s has every acknowledged write of the repository.
func inSync(s *state.Storage, entry *state.Entry) bool {
	return (s.State == state.Serving || s.State == state.Fenced) && !entry.IsBehind(s.Name)
}
