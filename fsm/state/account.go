package state

import (
	"fmt"
	"slices"
)

func (c *MarkBehind) invalid() string {
	switch c.Deleted {
	case DeletedKeep, DeletedSet, DeletedClear:
	default:
		return fmt.Sprintf("no change of deleted %q", c.Deleted)
	}
	if why := firstOf(badPaths(c.VirtualStorage, c.Paths), badNames("agreeing storage", c.Agreeing)); why != "" {
		return why
	}
	if !slices.Contains(c.Agreeing, c.Primary) {
		return fmt.Sprintf("the primary %q does not agree", c.Primary)
	}
	return ""
}

// apply accounts for every storage, whatever its state: one that is not an
// in-sync serving storage which agrees is behind from here on. So is one that was fenced
// after the write's epoch: its part of the write may have been cut off. A name
// in Agreeing that is no storage was removed since, and has nothing to account for.
func (c *MarkBehind) apply(t *transition) *Refusal {
	vs, refusal := t.withIntent(c.VirtualStorage, c.Paths...)
	if refusal != nil {
		return refusal
	}
	if c.Epoch > vs.Epoch {
		return refuse(RefusedInvalid, "epoch %d of %q is yet to come", c.Epoch, vs.Name)
	}
	for _, path := range c.Paths {
		if refusal := vs.mustLead(c.Primary, t.entry(Key{c.VirtualStorage, path}), c.Epoch, path); refusal != nil {
			return refusal
		}
	}
	for _, path := range c.Paths {
		k := Key{c.VirtualStorage, path}
		e := t.entry(k).clone()
		e.Behind = vs.names(func(s *Storage) bool {
			agrees := s.State == Serving && s.FencedEpoch <= c.Epoch && slices.Contains(c.Agreeing, s.Name)
			return !agrees || e.IsBehind(s.Name) // ▲ state-agreeing-in-sync
		})
		switch c.Deleted {
		case DeletedSet:
			e.Deleted = true
		case DeletedClear:
			e.Deleted = false
		}
		t.put(k, e)
	}
	return nil
}

// mustLead refuses unless the named storage is the repository's primary and was
// not fenced after the epoch: a fence that came in between told others that
// nothing is written there any more.
func (v *VirtualStorage) mustLead(name string, e *Entry, epoch uint64, path string) *Refusal {
	p, ok := v.Primary(e)
	switch {
	case !ok:
		return refuse(RefusedNotPrimary, "%q in %q has no primary", path, v.Name)
	case p.Name != name: // ▲ state-mark-behind-not-primary
		return refuse(RefusedNotPrimary, "the primary of %q in %q is %q, not %q", path, v.Name, p.Name, name)
	case p.FencedEpoch > epoch: // ▲ state-mark-behind-after-fence
		return refuse(RefusedNotPrimary, "%q was fenced at epoch %d, after %d", name, p.FencedEpoch, epoch)
	}
	return nil
}
