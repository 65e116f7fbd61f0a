package state

import "fmt"

func (c *Fence) invalid() string {
	switch c.Why {
	case WhyDead, WhyDrained, WhySwitchover:
	default:
		return fmt.Sprintf("no reason of a fence %q", c.Why)
	}
	if len(c.Storages) == 0 {
		return "no storage"
	}
	return firstOf(
		badName("virtual storage", c.VirtualStorage),
		badNames("storage", c.Storages),
		badText("who asks", c.By),
	)
}

func (c *Fence) apply(t *transition) *Refusal {
	vs, refusal := t.atEpoch(c.VirtualStorage, c.Epoch)
	if refusal != nil {
		return refusal
	}
	for _, name := range c.Storages {
		s, refusal := vs.storage(name)
		if refusal != nil {
			return refusal
		}
		if s.State != Serving {
			return refuse(RefusedState, "storage %q is %s, not serving", name, s.State)
		}
	}
	if !vs.ServesBeside(c.Storages...) {
		return refuse(RefusedLast, "no other storage of %q would serve", vs.Name)
	}
	vs = t.edit(vs.Name)
	vs.Epoch++ // ▲ state-fence-same-epoch
	for _, name := range c.Storages {
		t.setState(vs, name, Fenced, c.Why, c.By)
	}
	return nil
}

func (c *Admit) invalid() string {
	if len(c.Storages) == 0 {
		return "no storage"
	}
	names := make([]string, len(c.Storages))
	for i, a := range c.Storages {
		if why := a.invalid(); why != "" {
			return why
		}
		names[i] = a.Storage
	}
	return firstOf(
		badName("virtual storage", c.VirtualStorage),
		badNames("storage", names),
		badText("who asks", c.By),
	)
}

func (a Admission) invalid() string {
	switch {
	case a.As == Serving:
		return badName("file system id", a.FilesystemID)
	case a.As != Out:
		return fmt.Sprintf("storage %q cannot be admitted as %q", a.Storage, a.As)
	case a.Why != WhyDead && a.Why != WhyDrained:
		return fmt.Sprintf("no storage is out because %q", a.Why)
	}
	return ""
}

// apply ends the fences. A storage whose disk is not the one that the state
// speaks of has lost all that it was in sync for, and must not serve.
func (c *Admit) apply(t *transition) *Refusal {
	vs, refusal := t.atEpoch(c.VirtualStorage, c.Epoch)
	if refusal != nil {
		return refusal
	}
	for _, a := range c.Storages {
		s, refusal := vs.storage(a.Storage)
		if refusal != nil {
			return refusal
		}
		if s.State != Fenced {
			return refuse(RefusedState, "storage %q is %s, not fenced", s.Name, s.State)
		}
	}
	vs = t.edit(vs.Name)
	vs.Epoch++
	var emptied []string
	for _, a := range c.Storages {
		s := vs.Storage(a.Storage)
		switch {
		case a.As == Out:
			t.setState(vs, s.Name, Out, a.Why, c.By)
		case a.FilesystemID == s.FilesystemID:
			t.setState(vs, s.Name, Serving, "admitted", c.By)
		default:
			s.FilesystemID = a.FilesystemID
			t.setState(vs, s.Name, Backfilling, "another disk", c.By)
			emptied = append(emptied, a.Storage)
		}
	}
	t.fallBehind(vs.Name, emptied)
	return nil
}
