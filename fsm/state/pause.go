package state

func (c *Pause) invalid() string {
	if c.Until < 0 {
		return "the pause ends before time began"
	}
	return firstOf(badVirtualStorageOrAll(c.VirtualStorage), badText("the reason", c.Why), badText("who asks", c.By))
}

func (c *Pause) apply(t *transition) *Refusal {
	return t.eachNamed(c.VirtualStorage, func(vs *VirtualStorage) {
		vs.Paused = &Pausing{Until: c.Until, Why: c.Why, By: c.By}
		t.note(vs, Change{What: ChangePaused, Why: c.Why, By: c.By})
	})
}

func (c *Resume) invalid() string {
	return firstOf(badVirtualStorageOrAll(c.VirtualStorage), badText("who asks", c.By))
}

func (c *Resume) apply(t *transition) *Refusal {
	return t.eachNamed(c.VirtualStorage, func(vs *VirtualStorage) {
		if vs.Paused == nil {
			return
		}
		vs.Paused = nil
		t.note(vs, Change{What: ChangeResumed, By: c.By})
	})
}

// badVirtualStorageOrAll is badName for a command that takes "" for all.
func badVirtualStorageOrAll(vs string) string {
	if vs == "" {
		return ""
	}
	return badName("virtual storage", vs)
}

// eachNamed changes the virtual storage of that name, all of them when it is empty.
func (t *transition) eachNamed(name string, change func(*VirtualStorage)) *Refusal {
	if name != "" {
		if _, refusal := t.virtualStorage(name); refusal != nil {
			return refusal
		}
		change(t.edit(name))
		return nil
	}
	for _, vs := range t.next.VirtualStorages {
		change(t.edit(vs.Name))
	}
	return nil
}

// Active reports whether the pause is in force at the time, Unix milliseconds. It
// takes nil for no pause.
func (p *Pausing) Active(now int64) bool {
	return p != nil && (p.Until == 0 || now < p.Until)
}
