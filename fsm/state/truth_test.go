package state

import (
	"slices"

	"pgregory.net/rapid"
)

// truth is a slow and obvious model of what is on the disks: for each
// repository and storage the indices of what it lacks.
type truth map[string]map[string][]Index

func (tr truth) lack(index Index, path string, storages ...string) {
	if tr[path] == nil {
		tr[path] = map[string][]Index{}
	}
	for _, s := range storages {
		tr[path][s] = append(tr[path][s], index)
	}
}

// happened notes what an applied command says has happened on the disks.
func (tr truth) happened(index Index, c Command, before *State) {
	switch {
	case c.Open != nil: // a write on which all agree leaves no other trace
		v := before.VirtualStorage(vs)
		for _, path := range c.Open.Paths {
			tr.lack(index, path, v.names(func(s *Storage) bool { return s.Standing == Filling })...)
		}
	case c.Wrote != nil:
		for _, path := range c.Wrote.Paths {
			tr.lack(index, path, without(allStorages, c.Wrote.Agreeing)...)
		}
	case c.InSync != nil: // copied at AsOf: what came later is not in the copy
		tr.lack(0, c.InSync.RelativePath) // makes the map
		lacks := tr[c.InSync.RelativePath]
		for _, s := range c.InSync.Storages {
			lacks[s] = slices.DeleteFunc(lacks[s], func(i Index) bool { return i <= c.InSync.AsOf })
		}
	case c.Settle != nil:
		rest := without(allStorages, append(slices.Clone(c.Settle.Equal), c.Settle.Authority))
		tr.lack(index, c.Settle.RelativePath, rest...)
	case c.Define != nil:
		for _, s := range allStorages {
			if v := before.VirtualStorage(vs); v == nil || v.Storage(s) == nil {
				tr.emptied(index, s)
			}
		}
	case c.Return != nil && c.Return.Filled != 0: // by a scan of the ordinary ones
		for path, lacks := range tr {
			if before.Entry(Key{vs, path}) == nil {
				delete(lacks, c.Return.Storage)
			}
		}
	case c.Return != nil:
		if s := before.VirtualStorage(vs).Storage(c.Return.Storage); s.FilesystemID != "" && s.FilesystemID != c.Return.FilesystemID {
			tr.emptied(index, c.Return.Storage)
		}
	}
}

// emptied notes a new disk, for the repositories that were ever written.
func (tr truth) emptied(index Index, storage string) {
	for path := range tr {
		tr.lack(index, path, storage)
	}
}

// check is promise P3: whatever is in sync has every acknowledged write.
func (tr truth) check(t *rapid.T, s *State) {
	v := s.VirtualStorage(vs)
	if v == nil {
		return
	}
	for path, lacks := range tr {
		for st := range v.InSync(s.Entry(Key{vs, path})) {
			if len(lacks[st.Name]) > 0 {
				t.Fatalf("%q is in sync for %q, but lacks %v", st.Name, path, lacks[st.Name])
			}
		}
	}
}
