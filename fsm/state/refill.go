package state

func (c *Refill) invalid() string {
	return badRequest(c.VirtualStorage, c.Storage, c.By)
}

func (c *Refill) apply(t *transition) *Refusal {
	if refusal := t.mayRefill(c.VirtualStorage, c.Storage); refusal != nil {
		return refusal
	}
	vs := t.edit(c.VirtualStorage)
	t.setState(vs, c.Storage, Backfilling, "refill", c.By)
	t.fallBehind(vs.Name, []string{c.Storage})
	return nil
}

// mayRefill refuses for a storage that may still be read or written (▲ state-refill-serving,
// state-refill-only-copy): its content may now be any backup's. It also refuses where the storage
// alone has a repository, as far as anyone knows: its replica would count for nothing.
func (t *transition) mayRefill(virtualStorage, storage string) *Refusal {
	vs, refusal := t.virtualStorage(virtualStorage)
	if refusal != nil {
		return refusal
	}
	s, refusal := vs.storage(storage)
	if refusal != nil {
		return refusal
	}
	if s.State != Out && s.State != Backfilling {
		return refuse(RefusedState, "storage %q is %s: drain it before its content is replaced", s.Name, s.describe())
	}
	return t.mayRemove(vs, []string{storage})
}

// WhyNotRefilled says why the storage may not be backfilled again now, nil if it may.
func (s *State) WhyNotRefilled(virtualStorage, storage string) *Refusal {
	return s.begin(s.Index, Batch{}).mayRefill(virtualStorage, storage)
}
