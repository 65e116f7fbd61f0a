package state

import "slices"

// Why a storage is fenced or out.
const (
	// WhyDead: it is failed over. Once it is out, it returns by itself.
	WhyDead = "dead"
	// WhyDrained: an operator takes it out. Only an operator lets it return.
	WhyDrained = "drained"
	// WhySwitchover: an operator promotes another one, and this one serves on behind
	// it. No storage is out because of that.
	WhySwitchover = "switchover"
)

// virtualStorage returns the virtual storage, or the refusal that there is none.
func (t *transition) virtualStorage(name string) (*VirtualStorage, *Refusal) {
	if vs := t.next.VirtualStorage(name); vs != nil {
		return vs, nil
	}
	return nil, refuse(RefusedUnknown, "no virtual storage %q", name)
}

// atEpoch is virtualStorage for a command that was decided at the epoch.
func (t *transition) atEpoch(name string, epoch uint64) (*VirtualStorage, *Refusal) {
	vs, refusal := t.virtualStorage(name)
	if refusal == nil && vs.Epoch != epoch {
		return nil, refuse(RefusedEpoch, "%q is at epoch %d, not %d", name, vs.Epoch, epoch)
	}
	return vs, refusal
}

// storage returns the storage, or the refusal that there is none.
func (v *VirtualStorage) storage(name string) (*Storage, *Refusal) {
	if s := v.Storage(name); s != nil {
		return s, nil
	}
	return nil, refuse(RefusedUnknown, "no storage %q in %q", name, v.Name)
}

// edit returns the virtual storage to be changed.
func (t *transition) edit(name string) *VirtualStorage {
	t.next.VirtualStorages = slices.Clone(t.next.VirtualStorages)
	vs := t.next.VirtualStorage(name)
	vs.Succession = slices.Clone(vs.Succession)
	vs.History = slices.Clone(vs.History)
	return vs
}

// setState gives the storage another state. A storage that becomes serving goes to the
// end, and so does a storage whose fence ends: storages that are not fenced never change
// their order. Serving is a role, and the code that gives or takes one raises the epoch
// before. vs is to be changed.
func (t *transition) setState(vs *VirtualStorage, name string, to StorageState, why, by string) {
	i := slices.IndexFunc(vs.Succession, func(s Storage) bool { return s.Name == name })
	s := vs.Succession[i]
	last := to == Serving || s.State == Fenced
	s.State, s.Why, s.Since, s.Uncompared = to, "", t.index, ""
	switch to {
	case Backfilling: // ▲ TestCompared: its content may now be any disk's
		s.Uncompared = UncomparedLater
	case Serving:
		s.New = false
	case Fenced:
		s.Why, s.FencedEpoch = why, vs.Epoch
	case Out:
		s.Why = why
	}
	if last { // ▲ state-serving-in-front
		vs.Succession = append(slices.Delete(vs.Succession, i, i+1), s)
	} else {
		vs.Succession[i] = s
	}
	t.note(vs, Change{Storage: name, To: to, Why: why, By: by})
}

// noteInstance adds a line to the history of the instances.
func (t *transition) noteInstance(c Change) {
	c.Index, c.Time = t.index, t.time
	history := append(slices.Clone(t.next.InstanceHistory), c)
	t.next.InstanceHistory = history[max(0, len(history)-HistoryLength):]
}

// note adds a line to the history. vs is to be changed.
func (t *transition) note(vs *VirtualStorage, c Change) {
	c.Index, c.Epoch, c.Time = t.index, vs.Epoch, t.time
	vs.History = append(vs.History, c)
	if extra := len(vs.History) - HistoryLength; extra > 0 {
		vs.History = slices.Delete(vs.History, 0, extra)
	}
}
