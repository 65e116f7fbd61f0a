package state

import (
	"slices"

	"pgregory.net/rapid"
)

// model is a slow and obvious model of what is on the disks.
type model struct {
	// lacks holds, for each repository and storage, the indices of what it lacks.
	lacks map[string]map[string][]Index
	// fenced is the epoch of each storage's last fence.
	fenced map[string]uint64
	// opened holds, for each repository, the storages that were backfilling when a write came
	// and were not copied onto since: no scan speaks of what they have.
	opened map[string]map[string]bool
	// copied is when a storage was last declared in sync for a repository.
	copied map[string]map[string]Index
	// alone are the commands that gave up what no other storage had in sync.
	alone []Command
}

// inSyncBeside reports whether another storage than the named one is in sync and serves.
func (v *VirtualStorage) inSyncBeside(e *Entry, name string) bool {
	for s := range v.InSync(e) {
		if s.Name != name && s.State == Serving {
			return true
		}
	}
	return false
}

func newModel() *model {
	return &model{lacks: map[string]map[string][]Index{}, fenced: map[string]uint64{}, opened: map[string]map[string]bool{}, copied: map[string]map[string]Index{}}
}

func (tr *model) lack(index Index, path string, storages ...string) {
	if tr.lacks[path] == nil {
		tr.lacks[path] = map[string][]Index{}
	}
	for _, s := range storages {
		tr.lacks[path][s] = append(tr.lacks[path][s], index)
	}
}

// happened notes what an applied command says has happened on the disks.
func (tr *model) happened(index Index, c Command, before *State) {
	switch {
	case c.Open != nil: // a write on which all agree leaves no other trace
		v := before.VirtualStorage(vs)
		for _, path := range c.Open.Paths {
			backfilling := v.names(func(s *Storage) bool { return s.State == Backfilling })
			tr.lack(index, path, backfilling...)
			if tr.opened[path] == nil {
				tr.opened[path] = map[string]bool{}
			}
			for _, s := range backfilling {
				tr.opened[path][s] = true
			}
		}
	case c.MarkBehind != nil: // an instance cuts off what it sent before a fence that it learns of
		reached := slices.DeleteFunc(slices.Clone(c.MarkBehind.Agreeing), func(s string) bool { return tr.fenced[s] > c.MarkBehind.Epoch })
		for _, path := range c.MarkBehind.Paths {
			tr.lack(index, path, without(allStorages, reached)...)
		}
	case c.MarkInSync != nil: // copied at AsOf: what came later is not in the copy
		tr.lack(0, c.MarkInSync.RelativePath) // makes the map
		lacks := tr.lacks[c.MarkInSync.RelativePath]
		for _, s := range c.MarkInSync.Storages {
			lacks[s] = slices.DeleteFunc(lacks[s], func(i Index) bool { return i <= c.MarkInSync.AsOf })
			delete(tr.opened[c.MarkInSync.RelativePath], s)
			if tr.copied[c.MarkInSync.RelativePath] == nil {
				tr.copied[c.MarkInSync.RelativePath] = map[string]Index{}
			}
			tr.copied[c.MarkInSync.RelativePath][s] = index
		}
	case c.ResolveDoubt != nil:
		tr.lack(index, c.ResolveDoubt.RelativePath, slices.DeleteFunc(slices.Clone(allStorages), func(s string) bool {
			compared := s == c.ResolveDoubt.Authority || slices.Contains(c.ResolveDoubt.Equal, s)
			return compared || !c.ResolveDoubt.PrimaryLacks && !tr.touched(before.Entry(c.ResolveDoubt.Key), c.ResolveDoubt, s)
		})...)
	case c.Remake != nil: // it is removed, and copied from another one
		if !before.VirtualStorage(vs).inSyncBeside(before.Entry(c.Remake.Key), c.Remake.Storage) {
			tr.alone = append(tr.alone, c)
		}
		tr.lack(index, c.Remake.RelativePath, c.Remake.Storage)
	case c.StepDown != nil:
		if !before.VirtualStorage(vs).inSyncBeside(before.Entry(c.StepDown.Key), c.StepDown.Storage) {
			tr.alone = append(tr.alone, c)
		}
	case c.EndAdvance != nil: // the primary may have got more than before
		v := before.VirtualStorage(vs)
		rest := v.names(func(s *Storage) bool {
			return s.holds() && s.Name != c.EndAdvance.Primary && !slices.Contains(c.EndAdvance.Equal, s.Name)
		})
		tr.lack(index, c.EndAdvance.RelativePath, rest...)
	case c.AcceptLoss != nil: // what it has is all that there is
		path := c.AcceptLoss.RelativePath
		tr.lack(index, path, without(allStorages, []string{c.AcceptLoss.Storage})...)
		delete(tr.lacks[path], c.AcceptLoss.Storage)
	case c.Define != nil && c.Define.VirtualStorage == vs:
		for _, s := range allStorages {
			if v := before.VirtualStorage(vs); v == nil || v.Storage(s) == nil {
				tr.emptied(index, s)
			}
		}
	case c.Rejoin != nil && c.Rejoin.Backfilled != 0: // by a scan of what was not written meanwhile
		for path, lacks := range tr.lacks {
			e, s := before.Entry(Key{vs, path}), c.Rejoin.Storage
			if e == nil || !e.IsBehind(s) && !tr.opened[path][s] {
				delete(lacks, s)
			}
		}
	case c.Rejoin != nil:
		tr.disk(index, before, c.Rejoin.Storage, c.Rejoin.FilesystemID)
	case c.Fence != nil:
		for _, s := range c.Fence.Storages {
			tr.fenced[s] = before.VirtualStorage(vs).Epoch + 1
		}
	case c.Admit != nil:
		for _, a := range c.Admit.Storages {
			if a.As == Serving {
				tr.disk(index, before, a.Storage, a.FilesystemID)
			}
		}
	}
}

// touched reports whether a write that is in doubt may have changed the storage, or
// what the storage is a copy of.
func (tr *model) touched(e *Entry, c *ResolveDoubt, storage string) bool {
	return slices.ContainsFunc(c.Doubts, func(ref DoubtRef) bool {
		m := e.Intent(ref.Incarnation)
		return m != nil && m.InDoubt != nil && (slices.Contains(m.InDoubt.Targets, storage) || tr.copied[c.RelativePath][storage] > m.InDoubt.At)
	})
}

// disk notes which disk the storage has now.
func (tr *model) disk(index Index, before *State, storage, id string) {
	if s := before.VirtualStorage(vs).Storage(storage); s.FilesystemID != "" && s.FilesystemID != id {
		tr.emptied(index, storage)
	}
}

// emptied notes a new disk, for the repositories that were ever written.
func (tr *model) emptied(index Index, storage string) {
	for path := range tr.lacks {
		tr.lack(index, path, storage)
	}
}

// check is I11, promise P3: whatever is in sync has every acknowledged write.
func (tr *model) check(t *rapid.T, s *State) {
	for _, c := range tr.alone {
		t.Fatalf("%s, although no other storage was in sync", describeCommand(c))
	}
	v := s.VirtualStorage(vs)
	if v == nil {
		return
	}
	for path, lacks := range tr.lacks {
		for st := range v.InSync(s.Entry(Key{vs, path})) {
			if len(lacks[st.Name]) > 0 {
				t.Fatalf("%q is in sync for %q, but lacks %v", st.Name, path, lacks[st.Name])
			}
		}
	}
}
