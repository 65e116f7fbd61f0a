package state

import (
	"fmt"
	"slices"
)

func (c *InSync) invalid() string {
	if len(c.Storages) == 0 {
		return "no storage"
	}
	return firstOf(c.Key.bad(), badNames("storage", c.Storages))
}

// apply takes the storages off what is behind. A name that is no storage was
// removed since; one that is fenced or out is no target of a repair any more.
func (c *InSync) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	if _, ok := vs.Primary(e); !ok {
		return refuse(RefusedNotPrimary, "%q in %q has no primary to be equal to", c.RelativePath, vs.Name)
	}
	for _, name := range c.Storages {
		if s := vs.Storage(name); s != nil && s.Standing != Serving && s.Standing != Filling {
			return refuse(RefusedChanged, "storage %q is %s", name, s.Standing)
		}
	}
	e.setBehind(without(e.Behind, c.Storages))
	t.put(c.Key, e)
	return nil
}

func (c *Settle) invalid() string {
	if len(c.Marks) == 0 {
		return "no mark"
	}
	for i, ref := range c.Marks {
		if slices.ContainsFunc(c.Marks[:i], func(o DirtyRef) bool { return o.Incarnation == ref.Incarnation }) {
			return fmt.Sprintf("the mark of incarnation %d is named twice", ref.Incarnation)
		}
	}
	return firstOf(c.Key.bad(), badName("authority", c.Authority), badNames("equal storage", c.Equal))
}

// apply removes the dirty marks and accounts for every storage. One that was
// behind before stays so, even if it was found equal: the comparison covers
// what the marks may have changed, not what it missed.
func (c *Settle) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	for _, ref := range c.Marks {
		if !e.settleMark(ref) {
			return refuse(RefusedChanged, "incarnation %d has no dirty mark of index %d", ref.Incarnation, ref.At)
		}
	}
	primary, ok := vs.Primary(e)
	switch {
	case !ok:
		return refuse(RefusedNotPrimary, "%q in %q has no primary", c.RelativePath, vs.Name)
	case (c.Authority == primary.Name) == c.PrimaryLacks:
		return refuse(RefusedNotPrimary, "the primary of %q in %q is %q", c.RelativePath, vs.Name, primary.Name)
	case !vs.serves(c.Authority, e):
		return refuse(RefusedNotPrimary, "%q is not in sync and serving", c.Authority)
	}
	if c.PrimaryLacks {
		e.Deleted = false // settling never deletes: what the authority has is copied
	}
	e.setBehind(vs.names(func(s *Storage) bool {
		if s.Name == primary.Name {
			return c.PrimaryLacks
		}
		equal := s.Name == c.Authority || slices.Contains(c.Equal, s.Name)
		return !equal || !s.holds() || e.IsBehind(s.Name)
	}))
	t.put(c.Key, e)
	return nil
}

// serves reports whether the storage is in sync for the repository and serving.
func (v *VirtualStorage) serves(name string, e *Entry) bool {
	s := v.Storage(name)
	return s != nil && s.Standing == Serving && !e.IsBehind(name)
}

// quiet returns the virtual storage, or a refusal unless the proposer alone has
// a live mark on the repository and nothing touched the entry after asOf: then
// what it saw since is what is true here.
func (t *transition) quiet(k Key, asOf Index) (*VirtualStorage, *Refusal) {
	vs, refusal := t.marked(k.VirtualStorage, k.RelativePath)
	if refusal != nil {
		return nil, refusal
	}
	if asOf >= t.index {
		return nil, refuse(RefusedInvalid, "index %d is yet to come", asOf)
	}
	e := t.entry(k)
	if e.Changed > asOf {
		return nil, refuse(RefusedChanged, "%q in %q changed at index %d, after %d", k.RelativePath, k.VirtualStorage, e.Changed, asOf)
	}
	for i := range e.Marks {
		if m := &e.Marks[i]; m.Kind != "" && m.Incarnation != t.proposer {
			return nil, refuse(RefusedBusy, "incarnation %d has a live mark on %q in %q", m.Incarnation, k.RelativePath, k.VirtualStorage)
		}
	}
	return vs, nil
}

// setBehind replaces the set of storages that are behind; when none is left,
// nothing is left to delete either. Only for a clone.
func (e *Entry) setBehind(behind []string) {
	e.Behind = behind
	if len(behind) == 0 {
		e.Deleted = false
	}
}

// settleMark removes the dirty mark and reports whether there was exactly that
// one. Only for a clone.
func (e *Entry) settleMark(ref DirtyRef) bool {
	i, found := e.find(ref.Incarnation)
	if !found || e.Marks[i].Dirty == nil || e.Marks[i].Dirty.At != ref.At {
		return false
	}
	e.Marks[i].Dirty = nil
	if e.Marks[i].Kind == "" {
		e.Marks = slices.Delete(e.Marks, i, i+1)
	}
	return true
}
