package state

import (
	"fmt"
	"slices"
)

func (c *OpenIntent) invalid() string {
	switch {
	case c.Kind != Open && c.Kind != PrimaryOnly:
		return fmt.Sprintf("no kind of intent %q", c.Kind)
	case c.BoundMillis < 0:
		return "the bound is negative"
	}
	return firstOf(badPaths(c.VirtualStorage, c.Paths), badNames("target", c.Targets))
}

func (c *OpenIntent) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	for _, target := range c.Targets {
		if vs.Storage(target) == nil {
			return refuse(RefusedUnknown, "no storage %q in %q", target, vs.Name)
		}
	}
	for _, path := range c.Paths {
		if e := t.entry(Key{c.VirtualStorage, path}); e != nil && e.Advancing != "" {
			return refuse(RefusedBusy, "%q in %q is being advanced from %q", path, vs.Name, e.Advancing)
		}
	}
	backfilling := vs.names(func(s *Storage) bool { return s.State == Backfilling })
	for _, path := range c.Paths {
		k := Key{c.VirtualStorage, path}
		e := t.entry(k).clone()
		e.openIntent(t.proposer, c.Kind, c.Scope)
		e.Behind = union(e.Behind, backfilling) // ▲ state-backfilling-not-behind
		t.put(k, e)
	}
	return nil
}

func (c *CloseIntent) invalid() string {
	why := badPaths(c.VirtualStorage, c.Paths)
	if c.Doubt != nil {
		why = firstOf(why, badNames("target", c.Doubt.Targets))
		if c.Doubt.BoundMillis < 0 {
			why = firstOf(why, "the bound is negative")
		}
	}
	return why
}

func (c *CloseIntent) apply(t *transition) *Refusal {
	if _, refusal := t.withIntent(c.VirtualStorage, c.Paths...); refusal != nil {
		return refusal
	}
	doubt := c.Doubt
	if doubt != nil {
		scope := doubt.normal()
		doubt = &scope
	}
	for _, path := range c.Paths {
		k := Key{c.VirtualStorage, path}
		e := t.entry(k).clone()
		e.closeIntent(t.proposer, t.index, c.InDoubt, doubt)
		t.put(k, e)
	}
	return nil
}

// withIntent returns the virtual storage, or a refusal unless the proposer has a
// live intent on each of its repositories named.
func (t *transition) withIntent(vs string, paths ...string) (*VirtualStorage, *Refusal) {
	v, refusal := t.virtualStorage(vs)
	if refusal != nil {
		return nil, refusal
	}
	for _, path := range paths {
		if t.entry(Key{vs, path}).Live(t.proposer) == nil {
			return nil, refuse(RefusedNoIntent, "incarnation %d has no live intent on %q in %q", t.proposer, path, vs)
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

// openIntent makes the incarnation's intent live, or widens the live one to cover
// both. Only for a clone.
func (e *Entry) openIntent(inc Incarnation, kind IntentKind, scope Scope) {
	i, found := e.find(inc)
	if !found {
		e.Intents = slices.Insert(e.Intents, i, Intent{Incarnation: inc})
	}
	m := &e.Intents[i]
	if m.Kind == "" {
		m.Kind, m.Scope = kind, scope.normal()
		return
	}
	if kind == PrimaryOnly {
		m.Kind = PrimaryOnly
	}
	m.Scope = m.Scope.merge(scope)
}

// closeIntent ends the incarnation's live intent; in doubt keeps doubt, or its scope if
// that is nil, together with the earlier doubt, under the new index. Only for a
// clone.
func (e *Entry) closeIntent(inc Incarnation, at Index, inDoubt bool, doubt *Scope) {
	i, _ := e.find(inc)
	m := &e.Intents[i]
	if inDoubt {
		scope := m.Scope
		if doubt != nil {
			scope = *doubt
		}
		if m.InDoubt != nil {
			scope = scope.merge(m.InDoubt.Scope)
		}
		m.InDoubt = &Doubt{At: at, Scope: scope}
	}
	m.Kind, m.Scope = "", Scope{}
	if e.Wish != nil && e.Wish.Incarnation == inc { // its repair has ended
		e.Wish = nil
	}
	if m.InDoubt == nil { // ▲ state-close-forgets-doubt
		e.Intents = slices.Delete(e.Intents, i, i+1)
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
