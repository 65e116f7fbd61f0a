package state

func (c *Rejoin) invalid() string {
	return firstOf(
		badName("virtual storage", c.VirtualStorage),
		badName("storage", c.Storage),
		badName("file system id", c.FilesystemID),
	)
}

func (c *Rejoin) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(c.Storage)
	if refusal != nil {
		return refusal
	}
	switch {
	case c.Backfilled != 0:
		return c.backfilled(t, s)
	case s.FilesystemID == "":
		s = t.edit(vs.Name).Storage(s.Name)
		s.FilesystemID, s.Since = c.FilesystemID, t.index
		return nil
	case s.State == Out && s.Why == WhyDrained:
		return refuse(RefusedDrained, "storage %q was drained", s.Name)
	case s.FilesystemID != c.FilesystemID:
		return c.otherDisk(t, vs, s) // ▲ state-return-other-disk
	}
	if s.State == Out {
		t.serve(vs.Name, s.Name, "rejoined")
	}
	return nil
}

// serve gives the storage the role of one that serves.
func (t *transition) serve(vs, storage, why string) {
	v := t.edit(vs)
	v.Epoch++
	t.setState(v, storage, Serving, why, "")
}

// backfilled ends a backfilling, if it is still the one that began at the index named.
func (c *Rejoin) backfilled(t *transition, s *Storage) *Refusal {
	if s.State != Backfilling || s.Since != c.Backfilled || s.FilesystemID != c.FilesystemID {
		return refuse(RefusedChanged, "storage %q is %s since index %d with file system %q",
			s.Name, s.State, s.Since, s.FilesystemID)
	}
	if s.Uncompared != "" { // ▲ TestCompared: the replicas that it came with could be lost once it is repaired
		return refuse(RefusedState, "storage %q is not compared yet", s.Name)
	}
	t.serve(c.VirtualStorage, s.Name, "backfilled")
	return nil
}

// otherDisk makes the storage backfilling, or begins its backfilling anew: its earlier content
// is gone.
func (c *Rejoin) otherDisk(t *transition, vs *VirtualStorage, s *Storage) *Refusal {
	if primary, _ := vs.Primary(nil); primary.Name == s.Name {
		return refuse(RefusedInUse, "%q is the primary of %q and has another disk", s.Name, vs.Name)
	}
	if s.State == Fenced {
		return refuse(RefusedInUse, "%q is fenced and keeps its place until it is admitted", s.Name)
	}
	if !vs.ServesBeside(s.Name) {
		return refuse(RefusedLast, "%q has another disk, and no other storage of %q serves", s.Name, vs.Name)
	}
	vs = t.edit(vs.Name)
	if s.State == Serving {
		vs.Epoch++
	}
	vs.Storage(s.Name).FilesystemID = c.FilesystemID
	t.setState(vs, s.Name, Backfilling, "another disk", "")
	t.fallBehind(vs.Name, []string{c.Storage})
	return nil
}
