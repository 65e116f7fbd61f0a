package state

func (c *Drain) invalid() string {
	return badRequest(c.VirtualStorage, c.Storage, c.By)
}

func (c *Drain) apply(t *transition) *Refusal {
	return t.staysOut(c.VirtualStorage, c.Storage, WhyDead, WhyDrained, c.By)
}

func (c *Undrain) invalid() string {
	return badRequest(c.VirtualStorage, c.Storage, c.By)
}

func (c *Undrain) apply(t *transition) *Refusal {
	return t.staysOut(c.VirtualStorage, c.Storage, WhyDrained, WhyDead, c.By)
}

// badRequest describes the fault of a request that concerns one storage.
func badRequest(vs, storage, by string) string {
	return firstOf(badName("virtual storage", vs), badName("storage", storage), badText("who asks", by))
}

// staysOut changes why the storage is out. No role is given or taken: the epoch
// stays, and so does since when it is out.
func (t *transition) staysOut(vsName, storage, from, to, by string) *Refusal {
	vs, refusal := t.virtualStorage(vsName)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(storage)
	if refusal != nil {
		return refusal
	}
	if s.State != Out || s.Why != from {
		return refuse(RefusedState, "storage %q is %s, not out (%s)", s.Name, s.describe(), from)
	}
	vs = t.edit(vs.Name)
	vs.Storage(storage).Why = to
	t.note(vs, Change{Storage: storage, To: Out, Why: to, By: by})
	return nil
}

// describe returns the state with its reason.
func (s *Storage) describe() string {
	if s.Why == "" {
		return string(s.State)
	}
	return string(s.State) + " (" + s.Why + ")"
}
