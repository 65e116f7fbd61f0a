package state

import (
	"slices"
	"strings"
)

func (c *Define) invalid() string {
	if len(c.Storages) == 0 {
		return "no storage"
	}
	if why := badText("the definition of the virtual storage", c.By); why != "" {
		return why
	}
	if len(c.Was) > 0 {
		if why := badNames("storage", c.Was); why != "" {
			return why
		}
	}
	return firstOf(badName("virtual storage", c.VirtualStorage), badNames("storage", c.Storages))
}

func (c *Define) apply(t *transition) *Refusal {
	vs := t.next.VirtualStorage(c.VirtualStorage)
	if len(c.Was) > 0 && !vs.consistsOf(c.Was) {
		return refuse(RefusedChanged, "the storages of %q have changed since this was decided: they are not %q any more", c.VirtualStorage, c.Was)
	}
	if vs == nil {
		t.found(c)
		return nil
	}
	gone := vs.names(func(s *Storage) bool { return !slices.Contains(c.Storages, s.Name) })
	if refusal := t.mayForget(vs, gone); refusal != nil {
		return refusal
	}
	added := slices.DeleteFunc(slices.Clone(c.Storages), func(name string) bool { return vs.Storage(name) != nil })
	if len(gone) == 0 && len(added) == 0 {
		return nil
	}
	vs = t.edit(c.VirtualStorage)
	t.remove(vs, gone, c.By)
	for _, name := range added {
		vs.Succession = append(vs.Succession, Storage{Name: name, New: true})
		t.setState(vs, name, Backfilling, "defined", "")
	}
	t.fallBehind(vs.Name, added)
	return nil
}

// consistsOf tells whether these are the storages of the virtual storage; nil has none.
func (v *VirtualStorage) consistsOf(names []string) bool {
	return v != nil && len(v.Succession) == len(names) &&
		!slices.ContainsFunc(names, func(name string) bool { return v.Storage(name) == nil })
}

// WhyKept says why the storages may not be removed from the virtual storage now, nil if they may.
func (s *State) WhyKept(virtualStorage string, storages []string) *Refusal {
	t := s.begin(s.Index, Batch{})
	vs := t.next.VirtualStorage(virtualStorage)
	if vs == nil {
		return refuse(RefusedUnknown, "no virtual storage %q", virtualStorage)
	}
	for _, name := range storages {
		if vs.Storage(name) == nil {
			return refuse(RefusedUnknown, "no storage %q in %q", name, virtualStorage)
		}
	}
	return t.mayForget(vs, storages)
}

// WhyVirtualStorageKept says why the virtual storage may not be removed now, nil if it may.
func (s *State) WhyVirtualStorageKept(name string) *Refusal {
	return s.begin(s.Index, Batch{}).mayRemoveVirtualStorage(name)
}

func (c *RemoveVirtualStorage) invalid() string {
	return firstOf(badText("the removal of the virtual storage", c.By), badName("virtual storage", c.VirtualStorage))
}

func (c *RemoveVirtualStorage) apply(t *transition) *Refusal {
	if refusal := t.mayRemoveVirtualStorage(c.VirtualStorage); refusal != nil {
		return refusal
	}
	if epoch := t.next.VirtualStorage(c.VirtualStorage).Epoch; epoch != c.Epoch {
		return refuse(RefusedEpoch, "%q is at epoch %d, not %d", c.VirtualStorage, epoch, c.Epoch)
	}
	t.next.VirtualStorages = slices.DeleteFunc(slices.Clone(t.next.VirtualStorages), func(v VirtualStorage) bool {
		return v.Name == c.VirtualStorage
	})
	return nil
}

// mayRemoveVirtualStorage refuses while anything is known of its repositories that would be lost.
func (t *transition) mayRemoveVirtualStorage(name string) *Refusal {
	vs := t.next.VirtualStorage(name)
	if vs == nil {
		return refuse(RefusedUnknown, "no virtual storage %q", name)
	}
	if len(vs.Fenced()) > 0 {
		return refuse(RefusedInUse, "a storage of %q is fenced and keeps its place until it is admitted", name)
	}
	if n := t.count(name, func(*Entry) bool { return true }); n > 0 {
		return refuse(RefusedInUse, "the ledger lists %d repositories of %q: which of their replicas are right would be forgotten", n, name)
	}
	return nil
}

// found makes a new virtual storage: no client has written to it yet, so that its
// first storage serves as it is, and the others are backfilled from it.
func (t *transition) found(c *Define) {
	vs := VirtualStorage{Name: c.VirtualStorage, Epoch: 1}
	for i, name := range c.Storages {
		s := Storage{Name: name, State: Serving, Since: t.index}
		if i > 0 {
			s.State, s.New, s.Uncompared = Backfilling, true, UncomparedFounding
		}
		vs.Succession = append(vs.Succession, s)
		t.note(&vs, Change{Storage: name, To: s.State, Why: "defined"})
	}
	i, _ := slices.BinarySearchFunc(t.next.VirtualStorages, vs.Name, func(v VirtualStorage, name string) int {
		return strings.Compare(v.Name, name)
	})
	t.next.VirtualStorages = slices.Insert(slices.Clone(t.next.VirtualStorages), i, vs)
}

// mayForget is mayRemove, and refuses while a replica on the storages is in conflict
// (▲ state-removes-in-conflict): it has data that is nowhere else, and no operator would be told of
// it any more.
func (t *transition) mayForget(vs *VirtualStorage, gone []string) *Refusal {
	if refusal := t.mayRemove(vs, gone); refusal != nil {
		return refusal
	}
	n := t.count(vs.Name, func(e *Entry) bool { return slices.ContainsFunc(gone, e.InConflict) })
	if n == 0 {
		return nil
	}
	return refuse(RefusedInUse, "%d repositories of %q on %q are in conflict, and have what the primary lacks: `praefectctl dataloss` lists them, "+
		"`praefectctl accept-dataloss` says which storage counts", n, vs.Name, gone)
}

// mayRemove refuses while the storages are needed: as the primary, because of a
// fence that is not yet ended, as the last ones that serve, or because a
// repository, clean or in the ledger, is in sync on no other one.
func (t *transition) mayRemove(vs *VirtualStorage, gone []string) *Refusal {
	if len(gone) == 0 {
		return nil
	}
	if primary, _ := vs.Primary(nil); slices.Contains(gone, primary.Name) {
		return refuse(RefusedInUse, "%q is the primary of %q", primary.Name, vs.Name)
	}
	for _, name := range gone {
		if vs.Storage(name).State == Fenced {
			return refuse(RefusedInUse, "%q is fenced and keeps its place until it is admitted", name)
		}
	}
	if !vs.ServesBeside(gone...) {
		return refuse(RefusedLast, "no other storage of %q serves", vs.Name)
	}
	if only := vs.onlyOn(gone, nil); only != "" {
		return refuse(RefusedInUse, "only %q has the clean repositories of %q", only, vs.Name)
	}
	if n := t.count(vs.Name, func(e *Entry) bool { return vs.onlyOn(gone, e) != "" }); n > 0 {
		return refuse(RefusedInUse, "only %q is not behind for %d repositories of %q: `praefectctl dataloss` lists them", gone, n, vs.Name)
	}
	return nil
}

// onlyOn returns one of the storages that has the repository if no storage
// beside them is in sync for it, else "". One that is out has it as long as it
// is not behind; one that is backfilling may lack it without an entry that says so.
func (v *VirtualStorage) onlyOn(gone []string, e *Entry) string {
	var only string
	for i := range v.Succession {
		s := &v.Succession[i]
		if s.State == Backfilling || e.IsBehind(s.Name) {
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
func (t *transition) remove(vs *VirtualStorage, gone []string, by string) {
	for _, name := range gone {
		if vs.Storage(name).State == Serving {
			vs.Epoch++
		}
		t.note(vs, Change{Storage: name, Why: "removed", By: by})
	}
	vs.Succession = slices.DeleteFunc(vs.Succession, func(s Storage) bool { return slices.Contains(gone, s.Name) })
	if len(gone) == 0 {
		return
	}
	t.sweep(sweep{vs: vs.Name, gone: gone})
}

// forget returns the entry without the storages, nil if it does not name them. Targets keep their
// names (▲ state-forgets-targets): an operation that an intent has begun on a storage goes on
// there, and may reach one that is added under the same name.
func (e *Entry) forget(gone []string) *Entry {
	if !slices.ContainsFunc(gone, e.IsBehind) {
		return nil
	}
	c := e.clone()
	c.Behind = without(e.Behind, gone)
	c.dropConflicts(gone)
	return c
}

// fallBehind records the storages as behind for every repository in the ledger:
// a scan backfills them with the clean ones, all others are left to repair. A replica that
// was in conflict was on another disk, or is compared once more.
func (t *transition) fallBehind(vs string, names []string) {
	if len(names) > 0 {
		t.sweep(sweep{vs: vs, behind: names})
	}
}
