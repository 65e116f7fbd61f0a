package state

import (
	"fmt"
	"slices"
)

func (c *OpenMark) invalid() string {
	switch {
	case c.Kind != Open && c.Kind != Solo:
		return fmt.Sprintf("no kind of mark %q", c.Kind)
	case c.BoundMillis < 0:
		return "the bound is negative"
	}
	return firstOf(badPaths(c.VirtualStorage, c.Paths), badNames("target", c.Targets))
}

func (c *OpenMark) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	for _, target := range c.Targets {
		if vs.Storage(target) == nil {
			return refuse(RefusedUnknown, "no storage %q in %q", target, vs.Name)
		}
	}
	filling := vs.names(func(s *Storage) bool { return s.Standing == Filling })
	for _, path := range c.Paths {
		k := Key{c.VirtualStorage, path}
		e := t.entry(k).clone()
		e.openMark(t.proposer, c.Kind, c.Scope)
		e.Behind = union(e.Behind, filling)
		t.put(k, e)
	}
	return nil
}

func (c *Close) invalid() string { return badPaths(c.VirtualStorage, c.Paths) }

func (c *Close) apply(t *transition) *Refusal {
	if _, refusal := t.marked(c.VirtualStorage, c.Paths...); refusal != nil {
		return refusal
	}
	for _, path := range c.Paths {
		k := Key{c.VirtualStorage, path}
		e := t.entry(k).clone()
		e.closeMark(t.proposer, t.index, c.Dirty)
		t.put(k, e)
	}
	return nil
}

// marked returns the virtual storage, or a refusal unless the proposer has a
// live mark on each of its repositories named.
func (t *transition) marked(vs string, paths ...string) (*VirtualStorage, *Refusal) {
	v, refusal := t.virtualStorage(vs)
	if refusal != nil {
		return nil, refusal
	}
	for _, path := range paths {
		if t.entry(Key{vs, path}).Live(t.proposer) == nil {
			return nil, refuse(RefusedNoMark, "incarnation %d has no live mark on %q in %q", t.proposer, path, vs)
		}
	}
	return v, nil
}

// names returns the sorted names of the storages that fn picks, nil if none.
func (v *VirtualStorage) names(fn func(*Storage) bool) []string {
	var names []string
	for i := range v.Succession {
		if s := &v.Succession[i]; fn(s) {
			names = append(names, s.Name)
		}
	}
	slices.Sort(names)
	return names
}

// openMark makes the incarnation's mark live, or widens the live one to cover
// both. Only for a clone.
func (e *Entry) openMark(inc Incarnation, kind MarkKind, scope Scope) {
	i, found := e.find(inc)
	if !found {
		e.Marks = slices.Insert(e.Marks, i, Mark{Incarnation: inc})
	}
	m := &e.Marks[i]
	if m.Kind == "" {
		m.Kind, m.Scope = kind, scope.normal()
		return
	}
	if kind == Solo {
		m.Kind = Solo
	}
	m.Scope = m.Scope.merge(scope)
}

// closeMark ends the incarnation's live mark; dirty keeps its scope, together
// with that of what was dirty before, under the new index. Only for a clone.
func (e *Entry) closeMark(inc Incarnation, at Index, dirty bool) {
	i, _ := e.find(inc)
	m := &e.Marks[i]
	if dirty {
		scope := m.Scope
		if m.Dirty != nil {
			scope = scope.merge(m.Dirty.Scope)
		}
		m.Dirty = &Dirty{At: at, Scope: scope}
	}
	m.Kind, m.Scope = "", Scope{}
	if m.Dirty == nil {
		e.Marks = slices.Delete(e.Marks, i, i+1)
	}
}

// normal returns the scope with its targets sorted.
func (s Scope) normal() Scope {
	s.Targets = union(s.Targets, nil)
	return s
}

// merge returns the scope that covers both.
func (s Scope) merge(o Scope) Scope {
	return Scope{
		BoundMillis: max(s.BoundMillis, o.BoundMillis),
		RefsOnly:    s.RefsOnly && o.RefsOnly,
		Targets:     union(s.Targets, o.Targets),
	}
}
