package state

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Entry returns what the ledger says of the repository, nil if it is ordinary.
// The methods of Entry take nil for an ordinary repository.
func (s *State) Entry(k Key) *Entry {
	if s.ledger == nil {
		return nil
	}
	var buf [256]byte // the lookup of a usual key does not allocate
	e, _ := s.ledger.Get(k.appendTo(buf[:0]))
	return e
}

// Each calls fn for every entry of the virtual storage (of all when vs is
// empty) in the order of their keys, until fn returns false.
func (s *State) Each(vs string, fn func(Key, *Entry) bool) {
	if s.ledger == nil {
		return
	}
	var prefix []byte
	if vs != "" {
		prefix = Key{VirtualStorage: vs}.appendTo(nil)
	}
	s.ledger.Root().WalkPrefix(prefix, func(k []byte, e *Entry) bool {
		return !fn(parseKey(k), e)
	})
}

// Len returns the number of entries in the ledger.
func (s *State) Len() int {
	if s.ledger == nil {
		return 0
	}
	return s.ledger.Len()
}

// Instance returns the live incarnation, nil if it is not live.
func (s *State) Instance(inc Incarnation) *Instance {
	i, found := slices.BinarySearchFunc(s.Instances, inc, func(in Instance, inc Incarnation) int {
		return cmp.Compare(in.Incarnation, inc)
	})
	if !found {
		return nil
	}
	return &s.Instances[i]
}

// Storage returns the storage of that name, or nil. What it points to must not
// be changed.
func (v *VirtualStorage) Storage(name string) *Storage {
	for i := range v.Succession {
		if v.Succession[i].Name == name {
			return &v.Succession[i]
		}
	}
	return nil
}

// InSync yields the storages that are in sync for the repository, serving and
// fenced ones, in the order of the succession: reads may go to each, writes go
// to the serving ones. It does not allocate; what is yielded must not be
// changed.
func (v *VirtualStorage) InSync(e *Entry) iter.Seq[*Storage] {
	return func(yield func(*Storage) bool) {
		for i := range v.Succession {
			if s := &v.Succession[i]; s.holds() && !e.IsBehind(s.Name) && !yield(s) {
				return
			}
		}
	}
}

// Primary returns the repository's primary: the first in-sync storage of the
// succession. It reports false if there is none, or if that one is fenced: then
// it is returned all the same, as it keeps its place.
func (v *VirtualStorage) Primary(e *Entry) (Storage, bool) {
	for s := range v.InSync(e) {
		return *s, s.Standing == Serving
	}
	return Storage{}, false
}

// Unavailable reports whether the repository has no in-sync serving storage:
// no writes, and no reads unless the operator permits stale ones.
func (v *VirtualStorage) Unavailable(e *Entry) bool {
	for s := range v.InSync(e) {
		if s.Standing == Serving {
			return false
		}
	}
	return true
}

// PrimaryOf is VirtualStorage.Primary of the repository; false also if there is
// no such virtual storage.
func (s *State) PrimaryOf(k Key) (Storage, bool) {
	vs := s.VirtualStorage(k.VirtualStorage)
	if vs == nil {
		return Storage{}, false
	}
	return vs.Primary(s.Entry(k))
}

// changed returns the index of the last change of the virtual storage: at or after
// the one at which a storage last ceased to be in sync for all repositories.
func (v *VirtualStorage) changed() Index {
	if len(v.History) == 0 {
		return 0
	}
	return v.History[len(v.History)-1].Index
}

// Fenced returns the storages that are fenced, in the order of the succession,
// nil if none is. Storage.Why tells how each fence is to end.
func (v *VirtualStorage) Fenced() []Storage {
	var fenced []Storage
	for _, s := range v.Succession {
		if s.Standing == Fenced {
			fenced = append(fenced, s)
		}
	}
	return fenced
}

// ServesBeside reports whether a storage serves that is not among those named:
// whether they could be fenced.
func (v *VirtualStorage) ServesBeside(names ...string) bool {
	return slices.ContainsFunc(v.Succession, func(s Storage) bool {
		return s.Standing == Serving && !slices.Contains(names, s.Name)
	})
}

// holds reports whether the storage has what it is not behind on: it serves, or
// did until it was fenced.
func (s *Storage) holds() bool { return s.Standing == Serving || s.Standing == Fenced }

// Mark returns the incarnation's mark, live or dirty, or nil. What it points to
// must not be changed.
func (e *Entry) Mark(inc Incarnation) *Mark {
	if e == nil {
		return nil
	}
	i, found := e.find(inc)
	if !found {
		return nil
	}
	return &e.Marks[i]
}

// Live returns the incarnation's mark if it is live, that is open or solo, else
// nil. What it points to must not be changed.
func (e *Entry) Live(inc Incarnation) *Mark {
	if m := e.Mark(inc); m != nil && m.Kind != "" {
		return m
	}
	return nil
}

// Shrunk returns an index at or after the last one at which the repository's
// in-sync set lost a storage that has not come back, whoever committed it; 0 if
// there is none. An instance that restored a snapshot knows no better than the
// last change of before, so that instances may answer differently.
func (s *State) Shrunk(k Key) Index {
	var index Index
	if vs := s.VirtualStorage(k.VirtualStorage); vs != nil {
		index = vs.changed()
	}
	if e := s.Entry(k); e != nil && len(e.Behind) > 0 {
		index = max(index, e.shrunk)
	}
	return index
}

// HasLive reports whether any incarnation has an open or solo mark.
func (e *Entry) HasLive() bool {
	return e.anyMark(func(m *Mark) bool { return m.Kind != "" })
}

// HasSolo reports whether any incarnation has a solo mark: reads go to the
// primary.
func (e *Entry) HasSolo() bool {
	return e.anyMark(func(m *Mark) bool { return m.Kind == Solo })
}

// HasDirty reports whether any mark is dirty.
func (e *Entry) HasDirty() bool {
	return e.anyMark(func(m *Mark) bool { return m.Dirty != nil })
}

func (e *Entry) anyMark(is func(*Mark) bool) bool {
	if e == nil {
		return false
	}
	for i := range e.Marks {
		if is(&e.Marks[i]) {
			return true
		}
	}
	return false
}

// IsBehind reports whether the storage misses an acknowledged write.
func (e *Entry) IsBehind(storage string) bool {
	return e != nil && slices.Contains(e.Behind, storage)
}

// find returns where the incarnation's mark is, or belongs.
func (e *Entry) find(inc Incarnation) (int, bool) {
	return slices.BinarySearchFunc(e.Marks, inc, func(m Mark, inc Incarnation) int {
		return cmp.Compare(m.Incarnation, inc)
	})
}

// appendTo appends the key of the repository in the ledger. No name contains
// NUL, so that keys sort by virtual storage, then by path.
func (k Key) appendTo(b []byte) []byte {
	b = append(b, k.VirtualStorage...)
	b = append(b, 0)
	return append(b, k.RelativePath...)
}

// parseKey is the inverse of Key.appendTo.
func parseKey(b []byte) Key {
	vs, path, _ := strings.Cut(string(b), "\x00")
	return Key{VirtualStorage: vs, RelativePath: path}
}
