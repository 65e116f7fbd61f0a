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

// RouteRead names the storage that serves a read: of those that are in sync
// and reachable the one with the fewest requests under way, at random (intn)
// among equals. While a write may be under way that does not vote, only the
// primary has every acknowledged write for certain.
func RouteRead(view *state.State, read Read, reach Reacher, intn func(int) int) (string, error) {
	vs := view.VirtualStorage(read.Key.VirtualStorage)
	if vs == nil {
		return "", &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: read.Key.VirtualStorage}
	}
	entry := view.Entry(read.Key)
	if read.PrimaryOnly || entry.HasSolo() {
		return readPrimary(vs, entry, read, reach)
	}
	if entry.HasDirty() {
		// Replicas may differ in what was never acknowledged: one storage for
		// all readers, as long as it is there.
		if name, err := readPrimary(vs, entry, read, reach); err == nil {
			return name, nil
		}
	}
	choice := pick{intn: intn}
	var why error
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if !inSync(s, entry) || slices.Contains(read.Tried, s.Name) {
			continue
		}
		r := reach(s.Name)
		if !usable(s, r) {
			why = unusable(s, r)
			continue
		}
		choice.offer(s.Name, r.Outstanding)
	}
	if choice.name == "" {
		return "", &Refusal{Kind: NoInSync, VirtualStorage: vs.Name, Why: why}
	}
	return choice.name, nil
}

// readPrimary reads from the first in-sync storage; unlike a write it may do so
// while that storage is fenced.
func readPrimary(vs *state.VirtualStorage, entry *state.Entry, read Read, reach Reacher) (string, error) {
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
func RouteStorage(view *state.State, virtualStorage string, reach Reacher, intn func(int) int) (string, error) {
	vs := view.VirtualStorage(virtualStorage)
	if vs == nil {
		return "", &Refusal{Kind: UnknownVirtualStorage, VirtualStorage: virtualStorage}
	}
	choice := pick{intn: intn}
	var why error
	for i := range vs.Succession {
		s := &vs.Succession[i]
		if s.Standing != state.Serving {
			continue
		}
		r := reach(s.Name)
		if !usable(s, r) {
			why = unusable(s, r)
			continue
		}
		choice.offer(s.Name, r.Outstanding)
	}
	if choice.name == "" {
		return "", &Refusal{Kind: NoStorage, VirtualStorage: vs.Name, Why: why}
	}
	return choice.name, nil
}

// inSync tells whether s has every acknowledged write of the repository.
func inSync(s *state.Storage, entry *state.Entry) bool {
	return (s.Standing == state.Serving || s.Standing == state.Fenced) && !entry.IsBehind(s.Name)
}

// pick keeps the offer with the least load, each of equals with equal chance.
type pick struct {
	intn  func(int) int
	name  string
	load  int64
	equal int
}

func (p *pick) offer(name string, load int64) {
	switch {
	case p.name == "" || load < p.load:
		p.name, p.load, p.equal = name, load, 1
	case load == p.load:
		p.equal++
		if p.intn(p.equal) == 0 {
			p.name = name
		}
	}
}
