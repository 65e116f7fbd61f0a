package state

func (c *Return) invalid() string {
	return firstOf(
		badName("virtual storage", c.VirtualStorage),
		badName("storage", c.Storage),
		badName("file system id", c.FilesystemID),
	)
}

func (c *Return) apply(t *transition) *Refusal {
	vs, refusal := t.virtualStorage(c.VirtualStorage)
	if refusal != nil {
		return refusal
	}
	s := vs.Storage(c.Storage)
	switch {
	case s == nil:
		return refuse(RefusedUnknown, "no storage %q in %q", c.Storage, vs.Name)
	case c.Filled != 0:
		return c.filled(t, s)
	case s.FilesystemID == "":
		t.recordDisk(vs.Name, s.Name, c.FilesystemID)
		return nil
	case s.Standing == Out && s.Why == WhyDrained:
		return refuse(RefusedDrained, "storage %q was drained", s.Name)
	case s.FilesystemID != c.FilesystemID:
		return c.otherDisk(t, vs, s)
	}
	if s.Standing == Out {
		t.stand(t.edit(vs.Name), s.Name, Serving, "returned")
	}
	return nil
}

// filled ends a filling, if it is still the one that began at the index named.
func (c *Return) filled(t *transition, s *Storage) *Refusal {
	if s.Standing != Filling || s.Since != c.Filled || s.FilesystemID != c.FilesystemID {
		return refuse(RefusedChanged, "storage %q is %s since index %d with file system %q",
			s.Name, s.Standing, s.Since, s.FilesystemID)
	}
	t.stand(t.edit(c.VirtualStorage), s.Name, Serving, "filled")
	return nil
}

// otherDisk makes the storage filling, or begins its filling anew: whatever it
// had is gone.
func (c *Return) otherDisk(t *transition, vs *VirtualStorage, s *Storage) *Refusal {
	if primary, _ := vs.Primary(nil); primary.Name == s.Name {
		return refuse(RefusedInUse, "%q is the primary of %q and has another disk", s.Name, vs.Name)
	}
	if s.Standing == Fenced {
		return refuse(RefusedInUse, "%q is fenced and keeps its place until it is admitted", s.Name)
	}
	t.recordDisk(vs.Name, s.Name, c.FilesystemID)
	t.stand(t.edit(vs.Name), s.Name, Filling, "another disk")
	t.fallBehind(vs.Name, []string{s.Name})
	return nil
}

// recordDisk notes the id of the disk that the standing speaks of from here on.
func (t *transition) recordDisk(vs, storage, id string) {
	s := t.edit(vs).Storage(storage)
	s.FilesystemID, s.Since = id, t.index
}
