package state

import (
	"slices"
	"strings"
)

// Why a storage is out.
const (
	// WhyDead: it was failed over, and returns by itself.
	WhyDead = "dead"
	// WhyDrained: an operator took it out, and returns it.
	WhyDrained = "drained"
)

func (c *Define) invalid() string {
	if len(c.Storages) == 0 {
		return "no storage"
	}
	return firstOf(badName("virtual storage", c.VirtualStorage), badNames("storage", c.Storages))
}

func (c *Define) apply(t *transition) *Refusal {
	vs := t.next.VirtualStorage(c.VirtualStorage)
	if vs == nil {
		t.found(c)
		return nil
	}
	gone := vs.names(func(s *Storage) bool { return !slices.Contains(c.Storages, s.Name) })
	if refusal := t.mayRemove(vs, gone); refusal != nil {
		return refusal
	}
	added := slices.DeleteFunc(slices.Clone(c.Storages), func(name string) bool { return vs.Storage(name) != nil })
	if len(gone) == 0 && len(added) == 0 {
		return nil
	}
	vs = t.edit(c.VirtualStorage)
	t.remove(vs, gone)
	for _, name := range added {
		vs.Succession = append(vs.Succession, Storage{Name: name, New: true})
		t.stand(vs, name, Filling, "defined")
	}
	if len(added) > 0 {
		t.fallBehind(vs.Name, added)
	}
	return nil
}

// found makes a new virtual storage: nobody has written to it yet, so that its
// first storage serves as it is, and the others are filled from it.
func (t *transition) found(c *Define) {
	vs := VirtualStorage{Name: c.VirtualStorage, Epoch: 1}
	for i, name := range c.Storages {
		s := Storage{Name: name, Standing: Serving, Since: t.index}
		if i > 0 {
			s.Standing, s.New = Filling, true
		}
		vs.Succession = append(vs.Succession, s)
		t.note(&vs, name, s.Standing, "defined")
	}
	i, _ := slices.BinarySearchFunc(t.next.VirtualStorages, vs.Name, func(v VirtualStorage, name string) int {
		return strings.Compare(v.Name, name)
	})
	t.next.VirtualStorages = slices.Insert(slices.Clone(t.next.VirtualStorages), i, vs)
}

// mayRemove refuses while the storages are needed: as the primary, or because
// a repository, ordinary or in the ledger, is in sync on no other one.
func (t *transition) mayRemove(vs *VirtualStorage, gone []string) *Refusal {
	if len(gone) == 0 {
		return nil
	}
	if primary, _ := vs.Primary(nil); slices.Contains(gone, primary.Name) {
		return refuse(RefusedInUse, "%q is the primary of %q", primary.Name, vs.Name)
	}
	if only := vs.onlyOn(gone, nil); only != "" {
		return refuse(RefusedInUse, "only %q has the ordinary repositories of %q", only, vs.Name)
	}
	var refusal *Refusal
	t.each(vs.Name, func(k Key, e *Entry) bool {
		if only := vs.onlyOn(gone, e); only != "" {
			refusal = refuse(RefusedInUse, "only %q is not behind for %q in %q", only, k.RelativePath, vs.Name)
		}
		return refusal == nil
	})
	return refusal
}

// onlyOn returns one of the storages that has the repository if no storage
// beside them is in sync for it, else "". One that is out has it as long as it
// is not behind; one that is filling may lack it without an entry that says so.
func (v *VirtualStorage) onlyOn(gone []string, e *Entry) string {
	var only string
	for i := range v.Succession {
		s := &v.Succession[i]
		if s.Standing == Filling || e.IsBehind(s.Name) {
			continue
		}
		if slices.Contains(gone, s.Name) {
			only = s.Name
		} else if s.holds() {
			return ""
		}
	}
	return only
}

// remove takes the storages out of the succession and of all that speaks of
// them. vs is to be changed.
func (t *transition) remove(vs *VirtualStorage, gone []string) {
	for _, name := range gone {
		if vs.Storage(name).Standing == Serving {
			vs.Epoch++
		}
		t.note(vs, name, "", "removed")
	}
	vs.Succession = slices.DeleteFunc(vs.Succession, func(s Storage) bool { return slices.Contains(gone, s.Name) })
	if len(gone) == 0 {
		return
	}
	t.rewrite(vs.Name, func(e *Entry) *Entry { return e.forget(gone) })
}

// forget returns the entry without the storages, nil if it does not name them.
func (e *Entry) forget(gone []string) *Entry {
	named := func(set []string) bool {
		return slices.ContainsFunc(set, func(name string) bool { return slices.Contains(gone, name) })
	}
	c, changed := e.clone(), named(e.Behind)
	c.Behind = without(e.Behind, gone)
	for i := range c.Marks {
		m := &c.Marks[i]
		if named(m.Targets) {
			m.Targets, changed = without(m.Targets, gone), true
		}
		if m.Dirty != nil && named(m.Dirty.Targets) {
			dirty := *m.Dirty
			dirty.Targets = without(dirty.Targets, gone)
			m.Dirty, changed = &dirty, true
		}
	}
	if !changed {
		return nil
	}
	return c
}

// fallBehind records the storages as behind for every repository in the ledger:
// a scan fills them with the ordinary ones, all others are left to repair.
func (t *transition) fallBehind(vs string, names []string) {
	t.rewrite(vs, func(e *Entry) *Entry {
		e = e.clone()
		e.Behind = union(e.Behind, names)
		return e
	})
}

// edit returns the virtual storage to be changed.
func (t *transition) edit(name string) *VirtualStorage {
	t.next.VirtualStorages = slices.Clone(t.next.VirtualStorages)
	vs := t.next.VirtualStorage(name)
	vs.Succession = slices.Clone(vs.Succession)
	vs.History = slices.Clone(vs.History)
	return vs
}

// stand gives the storage another standing. Serving is a role: the epoch rises
// when it is given or taken, and whoever gets it goes to the end, so that no
// storage overtakes one that serves. vs is to be changed.
func (t *transition) stand(vs *VirtualStorage, name string, to Standing, why string) {
	i := slices.IndexFunc(vs.Succession, func(s Storage) bool { return s.Name == name })
	s := vs.Succession[i]
	if s.Standing == Serving || to == Serving {
		vs.Epoch++
	}
	s.Standing, s.Why, s.Since = to, "", t.index
	vs.Succession[i] = s
	if to == Serving {
		s.New = false
		vs.Succession = append(slices.Delete(vs.Succession, i, i+1), s)
	}
	t.note(vs, name, to, why)
}

// note adds a line to the history. vs is to be changed.
func (t *transition) note(vs *VirtualStorage, storage string, to Standing, why string) {
	vs.History = append(vs.History, Change{
		Index: t.index, Epoch: vs.Epoch, Time: t.time, Storage: storage, To: to, Why: why,
	})
	if extra := len(vs.History) - HistoryLength; extra > 0 {
		vs.History = slices.Delete(vs.History, 0, extra)
	}
}
