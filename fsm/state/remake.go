package state

import "slices"

// Remake permits that a storage's replica is removed and copied from nothing, because
// copies onto it fail. The storage is behind before and after it. The proposer's live intent, of
// which the storage is a target, keeps the reasons of the permission true until the copy has
// ended.
type Remake struct {
	Key
	Storage string `json:"storage"`
	// Why names the failure, for the history.
	Why  string `json:"why,omitempty"`
	AsOf Index  `json:"as_of"`
}

// StepDown puts a repository's primary behind, because its replica takes no writes while
// an in-sync one on another storage could: that one becomes the primary. The replica is
// repaired as any other that is behind.
type StepDown struct {
	Key
	// Storage is the repository's primary.
	Storage string `json:"storage"`
	// Why names the failure, for the history.
	Why  string `json:"why,omitempty"`
	AsOf Index  `json:"as_of"`
}

func (c *Remake) invalid() string {
	return firstOf(c.Key.bad(), badName("storage", c.Storage), badText("why", c.Why))
}

// apply refuses unless the storage's replica is of no account: ▲ TestRemake: it is behind, nothing
// is in doubt, and another storage, on another disk, is in sync and serves. Nothing can take that
// back while the proposer's intent is live: a declaration, a resolution or an acceptance by another
// proposer is refused.
func (c *Remake) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(c.Storage)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key)
	switch primary, ok := vs.Primary(e); {
	case !e.IsBehind(s.Name): // ▲ state-remake-in-sync: its writes may have been acknowledged
		return refuse(RefusedState, "%q is not behind for %q in %q", s.Name, c.RelativePath, vs.Name)
	case s.State != Serving && s.State != Backfilling:
		return refuse(RefusedState, "storage %q is %s", s.Name, s.describe())
	case !slices.Contains(e.Live(t.proposer).Targets, s.Name): // ▲ state-remake-untargeted: none would wait for its bound
		return refuse(RefusedNoIntent, "%q is no target of the intent on %q in %q", s.Name, c.RelativePath, vs.Name)
	case s.Uncompared != "" || e.InConflict(s.Name): // ▲ TestRemake: its content may be nowhere else
		return refuse(RefusedConflict, "%q on %q may have what the primary lacks", c.RelativePath, s.Name)
	case e.HasDoubt(): // ▲ state-remake-in-doubt: the write in doubt may still happen, and to the authority, too
		return refuse(RefusedBusy, "%q in %q is in doubt", c.RelativePath, vs.Name)
	case !ok: // ▲ TestRemake: it may be all that there is
		return refuse(RefusedNotPrimary, "%q in %q has no primary to be copied from", c.RelativePath, vs.Name)
	case sameDisk(s, &primary): // ▲ state-remake-same-disk: it is all that there is
		return refuse(RefusedLast, "%q is on the same disk as the primary %q", s.Name, primary.Name)
	}
	t.put(c.Key, e.clone()) // ▲ TestRemake_isAChange: an earlier declaration about the replica is refused
	t.note(t.edit(vs.Name), Change{What: ChangeRemade, Storage: c.Storage, RelativePath: c.RelativePath, Why: c.Why})
	return nil
}

func (c *StepDown) invalid() string {
	return firstOf(c.Key.bad(), badName("storage", c.Storage), badText("why", c.Why))
}

// apply refuses unless (▲ state-step-down-only-copy) the next in-sync storage serves, on another
// disk: at this index it has every acknowledged write, and no other instance has a write under way.
func (c *StepDown) apply(t *transition) *Refusal {
	vs, refusal := t.quiet(c.Key, c.AsOf)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key).clone()
	primary, ok := vs.Primary(e)
	switch {
	case !ok || primary.Name != c.Storage:
		return refuse(RefusedNotPrimary, "the primary of %q in %q is %q (serving: %t), not %q", c.RelativePath, vs.Name, primary.Name, ok, c.Storage)
	case e.HasDoubt(): // ▲ state-step-down-in-doubt: a doubt is resolved by its replica
		return refuse(RefusedBusy, "%q in %q is in doubt", c.RelativePath, vs.Name)
	}
	e.Behind = union(e.Behind, []string{c.Storage})
	next, ok := vs.Primary(e)
	switch {
	case !ok: // ▲ state-step-down-only-copy: it has the only copy that serves
		return refuse(RefusedLast, "no other storage is in sync for %q in %q and serves", c.RelativePath, vs.Name)
	case sameDisk(&primary, &next):
		return refuse(RefusedLast, "%q is on the same disk as %q", next.Name, primary.Name)
	}
	t.put(c.Key, e)
	t.note(t.edit(vs.Name), Change{What: ChangeSteppedDown, Storage: c.Storage, RelativePath: c.RelativePath, Why: c.Why})
	return nil
}

// sameDisk reports whether two storages are one place.
func sameDisk(a, b *Storage) bool {
	return a.Name == b.Name || a.FilesystemID != "" && a.FilesystemID == b.FilesystemID
}
