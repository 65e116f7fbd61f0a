package state

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
)

// Entry returns the ledger's entry of the repository, nil if it is clean.
// The methods of Entry take nil for a clean repository.
func (s *State) Entry(k Key) *Entry {
	if s.ledger == nil {
		return nil
	}
	var buf [256]byte // the lookup of a usual key does not allocate
	e, _ := s.ledger.Get(k.appendTo(buf[:0]))
	return s.sweeps.through(k.VirtualStorage, e) // ▲ state-sweep-unread
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
	s.ledger.Root().WalkPrefix(prefix, s.sweeps.seen(fn))
}

// From is Each for the entries of one virtual storage whose path is not before that of the
// key. The entries before it cost nothing.
func (s *State) From(from Key, fn func(Key, *Entry) bool) {
	if s.ledger == nil {
		return
	}
	prefix := Key{VirtualStorage: from.VirtualStorage}.appendTo(nil)
	it := s.ledger.Root().Iterator()
	it.SeekLowerBound(from.appendTo(nil))
	see := s.sweeps.seen(fn)
	for k, e, ok := it.Next(); ok && bytes.HasPrefix(k, prefix); k, e, ok = it.Next() {
		if see(k, e) {
			return
		}
	}
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

// Storage returns the storage of that name, or nil. The storage must not be changed.
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
// to the serving ones. It does not allocate; the yielded storages must not be changed.
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
// succession. It reports false if there is none, or if that one is fenced, or the
// repository is being advanced: then it is returned all the same, as it keeps its
// place.
func (v *VirtualStorage) Primary(e *Entry) (Storage, bool) {
	for s := range v.InSync(e) {
		return *s, s.State == Serving && (e == nil || e.Advancing == "") // ▲ state-fence-loses-place: a copy is made onto it
	}
	return Storage{}, false
}

// Unavailable reports whether the repository has no in-sync serving storage:
// no writes, and no reads unless the operator permits stale ones.
func (v *VirtualStorage) Unavailable(e *Entry) bool {
	for s := range v.InSync(e) {
		if s.State == Serving {
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
		if s.State == Fenced {
			fenced = append(fenced, s)
		}
	}
	return fenced
}

// ServesBeside reports whether a storage serves that is not among the named ones:
// whether they could be fenced.
func (v *VirtualStorage) ServesBeside(names ...string) bool {
	return slices.ContainsFunc(v.Succession, func(s Storage) bool {
		return s.State == Serving && !slices.Contains(names, s.Name)
	})
}

// holds reports whether the storage has the repositories that it is not behind on: it serves, or
// did until it was fenced.
func (s *Storage) holds() bool { return s.State == Serving || s.State == Fenced }

// Intent returns the incarnation's intent, live or in doubt, or nil. The intent must not be
// changed.
func (e *Entry) Intent(inc Incarnation) *Intent {
	if e == nil {
		return nil
	}
	i, found := e.find(inc)
	if !found {
		return nil
	}
	return &e.Intents[i]
}

// Live returns the incarnation's intent if it is live, that is open or primary-only, else nil.
// The intent must not be changed.
func (e *Entry) Live(inc Incarnation) *Intent {
	if m := e.Intent(inc); m != nil && m.Kind != "" {
		return m
	}
	return nil
}

// Shrunk returns an index at or after the last one at which the repository's
// in-sync set lost a storage that has not come back, by any instance's command; 0 if
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

// HasLive reports whether any incarnation has an open or primary-only intent.
func (e *Entry) HasLive() bool {
	return e.anyIntent(func(m *Intent) bool { return m.Kind != "" })
}

// HasPrimaryOnly reports whether any incarnation has a primary-only intent: reads go to the
// primary.
func (e *Entry) HasPrimaryOnly() bool {
	return e.anyIntent(func(m *Intent) bool { return m.Kind == PrimaryOnly })
}

// HasDoubt reports whether any intent is in doubt.
func (e *Entry) HasDoubt() bool {
	return e.anyIntent(func(m *Intent) bool { return m.InDoubt != nil })
}

func (e *Entry) anyIntent(is func(*Intent) bool) bool {
	if e == nil {
		return false
	}
	for i := range e.Intents {
		if is(&e.Intents[i]) {
			return true
		}
	}
	return false
}

// IsBehind reports whether the storage misses an acknowledged write.
func (e *Entry) IsBehind(storage string) bool {
	return e != nil && slices.Contains(e.Behind, storage)
}

// find returns where the incarnation's intent is, or belongs.
func (e *Entry) find(inc Incarnation) (int, bool) {
	return slices.BinarySearchFunc(e.Intents, inc, func(m Intent, inc Incarnation) int {
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
