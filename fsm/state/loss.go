package state

import "slices"

func (c *AcceptLoss) invalid() string {
	return firstOf(badRefs(c.Ended), c.Key.bad(), badName("storage", c.Storage), badText("by", c.By), badGivenUp(c.GivenUp, c.NotCompared))
}

// apply makes the storage the only one that is not behind. A backfilling storage is
// never chosen: the next intent would make it behind again, and no storage would be left.
func (c *AcceptLoss) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(c.Storage)
	if refusal != nil {
		return refusal
	}
	e := t.entry(c.Key)
	switch {
	case e == nil:
		return refuse(RefusedUnknown, "%q in %q is clean, nothing of it is lost", c.RelativePath, vs.Name)
	case e.HasLive(): // ▲ state-loss-beside-live-intent
		return refuse(RefusedBusy, "%q in %q has a live intent", c.RelativePath, vs.Name)
	case (e.IsBehind(c.Storage) || e.IsAdvancing()) && e.mayChange(c.Storage, c.Ended): // ▲ state-loss-under-late-copy, state-loss-while-advancing, state-loss-of-another-end: a late copy or removal would undo writes that are acknowledged from here on
		return refuse(RefusedBusy, "a copy onto %q, or a removal, that ended unseen may still have an effect on %q; repeat this later", c.Storage, c.RelativePath)
	case s.State == Serving:
	case s.State == Backfilling || vs.inSyncAnywhere(e):
		return refuse(RefusedState, "storage %q is %s", s.Name, s.describe())
	}
	t.noteLoss(AcceptedLoss{
		Key: c.Key, Storage: c.Storage, Behind: slices.Clone(e.Behind), GivenUp: c.GivenUp, NotCompared: c.NotCompared, By: c.By,
	})
	e = e.clone()
	e.Behind = vs.names(func(s *Storage) bool { return s.Name != c.Storage })
	// The storage's replica is copied, wherever it was deleted. Of two sides in
	// conflict the chosen one may be the one without the repository.
	e.Deleted = len(e.Conflicts) > 0
	e.Conflicts, e.Advancing = nil, ""
	t.put(c.Key, e)
	t.note(t.edit(vs.Name), Change{What: ChangeLossAccepted, Storage: c.Storage, RelativePath: c.RelativePath, By: c.By})
	return nil
}

// mayChange reports whether an in-doubt intent that is not among the ended ones has the
// storage for a target.
func (e *Entry) mayChange(storage string, ended []DoubtRef) bool {
	return e.anyIntent(func(m *Intent) bool {
		return m.InDoubt != nil && slices.Contains(m.InDoubt.Targets, storage) &&
			!slices.Contains(ended, DoubtRef{m.Incarnation, m.InDoubt.At})
	})
}

// inSyncAnywhere reports whether any storage is in sync for the repository.
func (v *VirtualStorage) inSyncAnywhere(e *Entry) bool {
	for range v.InSync(e) {
		return true
	}
	return false
}
