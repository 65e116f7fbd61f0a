package state

import (
	"encoding/binary"
	"iter"

	iradix "github.com/hashicorp/go-immutable-radix/v2"
)

// tally counts the entries of the ledger by the facts that most questions about all of them need:
// entries that are alike are counted together. It follows from the ledger, so that a snapshot
// does not carry it; keeping it spares readers the walk, whose cost rises with the number of
// entries. It is immutable; the zero value counts nothing.
type tally struct{ groups *iradix.Tree[group] }

// group is how many entries are alike, and one that stands for them.
type group struct {
	alike *Entry
	n     int
}

// Alike yields an entry for each group of entries of the virtual storage that are alike, and
// how many they are. A yielded entry tells only: Behind, the storages of Conflicts, which
// incarnations have live intents, whether a write is in doubt, and whether the repository is
// being advanced. The cost does not depend on how many entries there are.
func (s *State) Alike(vs string) iter.Seq2[*Entry, int] {
	return func(yield func(*Entry, int) bool) {
		if s.tally.groups == nil {
			return
		}
		var buf [64]byte
		s.tally.groups.Root().WalkPrefix(append(append(buf[:0], vs...), 0), func(_ []byte, g group) bool {
			return !yield(g.alike, g.n)
		})
	}
}

// Count returns how many entries of the virtual storage are of the kind. Its cost is that of
// Alike, whose entries is is asked about.
func (s *State) Count(vs string, is func(*Entry) bool) (n int) {
	for e, alike := range s.Alike(vs) {
		if is(e) {
			n += alike
		}
	}
	return n
}

// Behind returns in how many entries of the ledger the storage is behind.
func (s *State) Behind(vs, storage string) int {
	return s.Count(vs, func(e *Entry) bool { return e.IsBehind(storage) })
}

// InConflict returns how many repositories of the virtual storage are in conflict.
func (s *State) InConflict(vs string) int {
	return s.Count(vs, func(e *Entry) bool { return len(e.Conflicts) > 0 })
}

// Unavailable returns how many repositories of the virtual storage have no in-sync storage
// that serves.
func (s *State) Unavailable(vs string) int {
	v := s.VirtualStorage(vs)
	return s.Count(vs, func(e *Entry) bool { return v.Unavailable(e) })
}

// Len returns the number of entries in the ledger.
func (s *State) Len() (n int) {
	for i := range s.VirtualStorages {
		n += s.Count(s.VirtualStorages[i].Name, func(*Entry) bool { return true })
	}
	return n
}

// appendAlike appends the key of the entry's group. No name contains NUL.
func appendAlike(b []byte, vs string, e *Entry) []byte {
	const inDoubt, advancing, neither = 1, 2, 4
	flags := byte(neither)
	if e.HasDoubt() {
		flags |= inDoubt
	}
	if e.Advancing != "" {
		flags |= advancing
	}
	b = append(append(append(b, vs...), 0), flags)
	for _, name := range e.Behind {
		b = append(append(b, name...), 0)
	}
	b = append(b, 0)
	for i := range e.Conflicts {
		b = append(append(b, e.Conflicts[i].Storage...), 0)
	}
	b = append(b, 0)
	for i := range e.Intents {
		if m := &e.Intents[i]; m.Kind != "" {
			b = binary.BigEndian.AppendUint64(b, uint64(m.Incarnation))
		}
	}
	return b
}

// standsFor returns an entry that tells of e the facts that its group has in common.
func standsFor(e *Entry) *Entry {
	alike := &Entry{Behind: e.Behind, Advancing: e.Advancing}
	for i := range e.Conflicts {
		alike.Conflicts = append(alike.Conflicts, Conflict{Storage: e.Conflicts[i].Storage})
	}
	if e.HasDoubt() { // of no incarnation in particular
		alike.Intents = append(alike.Intents, Intent{InDoubt: &Doubt{}})
	}
	for i := range e.Intents {
		if m := &e.Intents[i]; m.Kind != "" {
			alike.Intents = append(alike.Intents, Intent{Incarnation: m.Incarnation, Kind: Open})
		}
	}
	return alike
}

// counter changes a tally.
type counter struct{ groups *iradix.Txn[group] }

func (t tally) change() counter {
	if t.groups == nil {
		return counter{iradix.New[group]().Txn()}
	}
	return counter{t.groups.Txn()}
}

func (c counter) end() tally { return tally{c.groups.Commit()} }

// replace counts an entry that has become another one; nil is none.
func (c counter) replace(vs string, before, after *Entry) {
	var bufs [2][192]byte // the keys of usual entries do not allocate
	var was, is []byte
	if before != nil {
		was = appendAlike(bufs[0][:0], vs, before)
	}
	if after != nil {
		is = appendAlike(bufs[1][:0], vs, after)
	}
	if string(was) == string(is) {
		return
	}
	c.add(was, before, -1)
	c.add(is, after, 1)
}

// add counts n entries more in the group of the key, less if n is negative.
func (c counter) add(key []byte, e *Entry, n int) {
	if e == nil {
		return
	}
	g, known := c.groups.Get(key)
	if !known {
		g.alike = standsFor(e)
	}
	if g.n += n; g.n == 0 {
		c.groups.Delete(key)
		return
	}
	c.groups.Insert(append([]byte(nil), key...), g)
}
