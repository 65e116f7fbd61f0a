package state

import (
	"fmt"
	"slices"
)

func (c *MarkInSync) invalid() string {
	if len(c.Storages) == 0 {
		return "no storage"
	}
	return firstOf(c.Key.bad(), badNames("storage", c.Storages))
}

// apply takes the storages off Behind. A name that is no storage was
// removed since; one that is fenced or out is no target of a repair any more.
//
// ▲ state-in-sync-beside-doubt: They become targets of every intent that is in doubt. A write under
// it may have changed their source before the copy, or may yet, so that they may differ from the
// authority by which the doubt is resolved.
func (c *MarkInSync) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	if _, ok := vs.Primary(e); !ok {
		return refuse(RefusedNotPrimary, "%q in %q has no primary to be equal to", c.RelativePath, vs.Name)
	}
	for _, name := range c.Storages {
		switch s := vs.Storage(name); {
		case s == nil:
		case s.State != Serving && s.State != Backfilling:
			return refuse(RefusedChanged, "storage %q is %s", name, s.State)
		case s.Uncompared != "": // ▲ TestMarkInSync: the replicas that it came with are still to be compared
			return refuse(RefusedState, "storage %q is not compared yet", name)
		case e.InConflict(name): // ▲ state-in-sync-in-conflict
			return refuse(RefusedConflict, "%q on %q has what the primary lacks", c.RelativePath, name)
		}
	}
	e.setBehind(without(e.Behind, c.Storages))
	e.joinDoubts(vs.names(func(s *Storage) bool { return slices.Contains(c.Storages, s.Name) }))
	t.put(c.Key, e)
	return nil
}

func (c *ResolveDoubt) invalid() string {
	if len(c.Doubts) == 0 {
		return "no intent"
	}
	return firstOf(badRefs(c.Doubts), c.Key.bad(), badName("authority", c.Authority), badNames("equal storage", c.Equal))
}

// badRefs describes the fault of the in-doubt intents that a command names.
func badRefs(refs []DoubtRef) string {
	for i, ref := range refs {
		if slices.ContainsFunc(refs[:i], func(o DoubtRef) bool { return o.Incarnation == ref.Incarnation }) {
			return fmt.Sprintf("the intent of incarnation %d is named twice", ref.Incarnation)
		}
	}
	return ""
}

// apply removes the in-doubt intents and accounts for every storage. One that was
// behind before stays so, even if it was found equal: the comparison covers the
// possible changes of the intents, not the writes that it missed. One that was in sync and is
// a target of none of the intents stays in sync: no write under them has touched it,
// and before any of them changed the primary, it was marked behind. ▲ state-resolve-deletes: That
// does not hold if the primary lacks the repository: then the replica of another storage counts.
func (c *ResolveDoubt) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	var targets []string
	for _, ref := range c.Doubts {
		if m := e.Intent(ref.Incarnation); m != nil && m.InDoubt != nil {
			targets = union(targets, m.InDoubt.Targets)
		}
		if !e.resolveDoubt(ref) {
			return refuse(RefusedChanged, "incarnation %d has no in-doubt intent of index %d", ref.Incarnation, ref.At)
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
		e.Deleted = false // resolving never deletes: the authority's replica is copied
	}
	e.setBehind(vs.names(func(s *Storage) bool {
		if s.Name == primary.Name {
			return c.PrimaryLacks
		}
		untouched := !c.PrimaryLacks && !slices.Contains(targets, s.Name)
		equal := untouched || s.Name == c.Authority || slices.Contains(c.Equal, s.Name)
		return !equal || !s.holds() || e.IsBehind(s.Name) // ▲ state-resolve-unequal
	}))
	t.put(c.Key, e)
	return nil
}

// serves reports whether the storage is in sync for the repository and serving.
func (v *VirtualStorage) serves(name string, e *Entry) bool {
	s := v.Storage(name)
	return s != nil && s.State == Serving && !e.IsBehind(name)
}

// quiet returns the virtual storage, or a refusal unless the proposer alone has
// a live intent on the repository and nothing touched the entry after asOf: then its
// observations since are true here.
func (t *transition) quiet(k Key, asOf Index) (*VirtualStorage, *Refusal) {
	vs, refusal := t.withIntent(k.VirtualStorage, k.RelativePath)
	if refusal != nil {
		return nil, refusal
	}
	if asOf >= t.index {
		return nil, refuse(RefusedInvalid, "index %d is yet to come", asOf)
	}
	e := t.entry(k)
	if e.Changed > asOf { // ▲ state-conclusion-after-change
		return nil, refuse(RefusedChanged, "%q in %q changed at index %d, after %d", k.RelativePath, k.VirtualStorage, e.Changed, asOf)
	}
	if other := e.liveBeside(t.proposer); other != 0 { // ▲ state-conclusion-under-intent
		return nil, refuse(RefusedBusy, "incarnation %d has a live intent on %q in %q", other, k.RelativePath, k.VirtualStorage)
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

// joinDoubts makes the storages targets of all in-doubt intents. Only for a clone.
func (e *Entry) joinDoubts(storages []string) {
	for i := range e.Intents {
		if m := &e.Intents[i]; m.InDoubt != nil {
			doubt := *m.InDoubt // the entry before shares it
			doubt.Targets = union(doubt.Targets, storages)
			m.InDoubt = &doubt
		}
	}
}

// resolveDoubt removes the in-doubt intent and reports whether there was exactly that
// one. Only for a clone.
func (e *Entry) resolveDoubt(ref DoubtRef) bool {
	i, found := e.find(ref.Incarnation)
	if !found || e.Intents[i].InDoubt == nil || e.Intents[i].InDoubt.At != ref.At { // ▲ state-resolve-unnamed
		return false
	}
	e.Intents[i].InDoubt = nil
	if e.Intents[i].Kind == "" {
		e.Intents = slices.Delete(e.Intents, i, i+1)
	}
	return true
}
