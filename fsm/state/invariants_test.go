package state

import (
	"maps"
	"slices"

	"pgregory.net/rapid"
)

// invariants are what must hold between one state and a later one: I9 and I10.
type invariants struct {
	// primaries holds who was the primary of the virtual storage at each epoch.
	primaries map[uint64]string
	// inSync holds the last index at which a storage was in sync for a repository.
	inSync map[string]map[string]Index
}

func newInvariants() *invariants {
	return &invariants{primaries: map[uint64]string{}, inSync: map[string]map[string]Index{}}
}

// check compares the states before and after one command, I9 and I10.
func (l *invariants) check(t *rapid.T, before, after *State) {
	was, is := before.VirtualStorage(vs), after.VirtualStorage(vs)
	if is == nil {
		return
	}
	if p, ok := is.Primary(nil); ok { // P1
		if other, known := l.primaries[is.Epoch]; known && other != p.Name {
			t.Fatalf("%q and %q are primaries at epoch %d", other, p.Name, is.Epoch)
		}
		l.primaries[is.Epoch] = p.Name
	}
	if was == nil {
		return
	}
	if is.Epoch < was.Epoch {
		t.Fatalf("epoch %d after %d", is.Epoch, was.Epoch)
	}
	l.checkRoles(t, was, is)
	l.checkOrder(t, was, is)
	for i, s := range is.Succession { // whoever begins to serve is behind whoever did
		if from := was.Storage(s.Name); s.State == Serving && (from == nil || from.State != Serving) {
			for _, next := range is.Succession[i:] {
				if from := was.Storage(next.Name); from != nil && from.holds() && next.State == from.State {
					t.Fatalf("%q begins to serve before %q", s.Name, next.Name)
				}
			}
		}
	}
}

// checkRoles: who begins or ceases to serve, or to be fenced, does so at a new
// epoch; and nobody gets from fenced to serving, or back, in silence.
func (l *invariants) checkRoles(t *rapid.T, was, is *VirtualStorage) {
	role := func(v *VirtualStorage, name string) StorageState {
		if s := v.Storage(name); s != nil && s.holds() {
			return s.State
		}
		return ""
	}
	for _, name := range allStorages {
		from, to := role(was, name), role(is, name)
		if from != to && is.Epoch == was.Epoch {
			t.Fatalf("%q was %q and is %q at the same epoch %d", name, from, to, is.Epoch)
		}
		if from == Serving && to == Fenced && is.Storage(name).FencedEpoch != is.Epoch {
			t.Fatalf("%q was fenced at epoch %d, and says %d", name, is.Epoch, is.Storage(name).FencedEpoch)
		}
	}
}

// checkOrder: storages that serve before and after never change their order, nor
// does one that is fenced change its place among them until its fence ends.
func (l *invariants) checkOrder(t *rapid.T, was, is *VirtualStorage) {
	stays := func(v *VirtualStorage) []string {
		var names []string
		for _, s := range v.Succession {
			from, to := was.Storage(s.Name), is.Storage(s.Name)
			if from == nil || to == nil || !from.holds() || !to.holds() {
				continue
			}
			if from.State == Serving || to.State == Fenced {
				names = append(names, s.Name)
			}
		}
		return names
	}
	if got, want := stays(is), stays(was); !slices.Equal(got, want) {
		t.Fatalf("the succession %v became %v", want, got)
	}
}

// checkReads: what readers are told beside the agreed state is true.
func (l *invariants) checkReads(t *rapid.T, s *State) {
	v := s.VirtualStorage(vs)
	if v == nil {
		return
	}
	if got, want := counted(s), recounted(s); !maps.Equal(got, want) {
		t.Fatalf("the entries are counted as %v, and are %v", got, want)
	}
	behind, conflicts := map[string]int{}, 0
	for _, path := range allPaths {
		k := Key{vs, path}
		e := s.Entry(k)
		if e != nil {
			conflicts += min(1, len(e.Conflicts))
			for _, name := range e.Behind {
				behind[name]++
			}
		}
		if l.inSync[path] == nil {
			l.inSync[path] = map[string]Index{}
		}
		for st := range v.InSync(e) {
			l.inSync[path][st.Name] = s.Index
		}
		for name, last := range l.inSync[path] {
			if last < s.Index && last >= s.Shrunk(k) {
				t.Fatalf("%q was in sync for %q at index %d, and is not at %d, but the set shrank at %d",
					name, path, last, s.Index, s.Shrunk(k))
			}
		}
	}
	if got := s.InConflict(vs); got != conflicts {
		t.Fatalf("%d repositories in conflict, want %d", got, conflicts)
	}
	for _, name := range allStorages {
		if got := s.Behind(vs, name); got != behind[name] {
			t.Fatalf("%q is behind in %d entries, want %d", name, got, behind[name])
		}
	}
}
