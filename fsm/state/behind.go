package state

import (
	"maps"
	"slices"
)

// behindCounts counts, for each storage, the entries in which it is behind. It
// follows from the ledger; keeping it spares readers the walk. A storage that is
// nowhere behind has no count.
type behindCounts map[storageKey]int

type storageKey struct{ virtualStorage, storage string }

// Behind returns in how many entries of the ledger the storage is behind. It
// costs nothing.
func (s *State) Behind(vs, storage string) int { return s.behind[storageKey{vs, storage}] }

// count takes one entry's set from one to another. Only for the owner.
func (b *behindCounts) count(vs string, from, to []string) {
	if *b == nil {
		*b = behindCounts{}
	}
	for _, name := range from {
		k := storageKey{vs, name}
		if (*b)[k]--; (*b)[k] == 0 {
			delete(*b, k)
		}
	}
	for _, name := range to {
		(*b)[storageKey{vs, name}]++
	}
}

// InConflict returns how many repositories of the virtual storage are in conflict.
// It costs nothing.
func (s *State) InConflict(vs string) int { return s.conflicts[vs] }

// recountConflicts is recount for the repositories in conflict, which change rarely.
func (t *transition) recountConflicts(vs string, before, after *Entry) {
	was, is := before != nil && len(before.Conflicts) > 0, len(after.Conflicts) > 0
	if was == is {
		return
	}
	counts := maps.Clone(t.next.conflicts)
	if counts == nil {
		counts = make(map[string]int)
	}
	if is {
		counts[vs]++
	} else if counts[vs]--; counts[vs] == 0 {
		delete(counts, vs)
	}
	t.next.conflicts = counts
}

// recount keeps the counts true when an entry is replaced. The first change of a
// transition copies them: readers of the former state keep theirs.
func (t *transition) recount(vs string, before, after *Entry) {
	t.recountConflicts(vs, before, after)
	var from []string
	if before != nil {
		from = before.Behind
	}
	if slices.Equal(from, after.Behind) {
		return
	}
	if !t.ownCounts {
		t.next.behind, t.ownCounts = maps.Clone(t.next.behind), true
	}
	t.next.behind.count(vs, from, after.Behind)
}
