package machine

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// see takes a newer view. The writes that it dooms are doomed before the index is reported as
// applied: the leader, which waits for that report, may then give the role to another storage.
func (m *Machine) see(e View) {
	if e.Incarnation != 0 {
		m.incarnation = e.Incarnation
	}
	if e.State.Index <= m.view.Index {
		return
	}
	before := m.view
	m.view = e.State
	if m.incarnation != 0 && !m.retired && m.view.Instance(m.incarnation) == nil {
		m.retire()
	}
	m.heed()
	if same(before.VirtualStorages, m.view.VirtualStorages) {
		m.reconsider(func(w *write) bool { return w.why == WhyFenced && m.changedSince(w, before) })
		return
	}
	m.doomFenced()
	m.reconsider(everyWrite)
}

// same reports whether two slices are one: states share the parts that did not change.
func same(a, b []state.VirtualStorage) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (m *Machine) changedSince(w *write, before *state.State) bool {
	changed := func(e *state.Entry) state.Index {
		if e == nil {
			return 0
		}
		return e.Changed
	}
	return slices.ContainsFunc(w.involved, func(k state.Key) bool { return changed(before.Entry(k)) != changed(m.view.Entry(k)) })
}

// doomFenced dooms the writes under way on storages that are no destination
// any more, or were none for a while.
func (m *Machine) doomFenced() {
	for _, w := range m.ordered() {
		if !w.forwarded && !w.clearing {
			continue
		}
		vs := m.view.VirtualStorage(w.keys[0].VirtualStorage)
		// ▲ machine-fence-dooms-nothing, driver-reports-before-dooming: A fence that is applied
		// ends the writes on its storage: the successor is admitted once every instance says so.
		may := w.mayUse
		if w.route.Votes && !w.registered {
			may = w.mayWait
		}
		if !may(vs, w.first) || !may(vs, w.route.Primary) {
			m.doom(w, ErrDoomed)
			continue
		}
		m.dropOthers(w, may)
	}
}

// dropOthers drops the destinations beside the first that are none any more.
func (m *Machine) dropOthers(w *write, may func(*state.VirtualStorage, string) bool) {
	vs := m.view.VirtualStorage(w.keys[0].VirtualStorage)
	w.others = slices.DeleteFunc(w.others, func(d Destination) bool {
		gone := !may(vs, d.Storage)
		if gone && w.forwarded {
			m.emit(Drop{Write: w.id, Storage: d.Storage, Err: ErrDropped})
		}
		return gone
	})
}

// mayWait tells whether a storage can be a destination again when the write has its
// first vote: it serves, or is fenced for as long as a switchover takes.
func (w *write) mayWait(vs *state.VirtualStorage, name string) bool {
	if vs == nil {
		return false
	}
	s := vs.Storage(name)
	return s != nil && (s.State == state.Serving || s.State == state.Fenced && s.Why == state.WhySwitchover)
}

// mayUse tells whether a destination is one still, and was all the time.
func (w *write) mayUse(vs *state.VirtualStorage, name string) bool {
	if vs == nil {
		return false
	}
	s := vs.Storage(name)
	return s != nil && s.State == state.Serving && s.FencedEpoch <= w.route.Epoch
}

// retire ends everything: no command of ours is applied any more.
func (m *Machine) retire() {
	m.retired = true
	for _, w := range m.ordered() {
		switch {
		case w.forwarded || w.clearing:
			m.doom(w, ErrRetired)
		case !w.proposing:
			m.reject(w, ErrRetired)
		}
	}
	m.reconsider(everyWrite) // the writes whose status waits for a lease
}

// ordered are the writes in the order of their names, so that the same events
// give the same effects.
func (m *Machine) ordered() []*write {
	return slices.SortedFunc(maps.Values(m.writes), func(a, b *write) int { return cmp.Compare(a.id, b.id) })
}

// hear takes the last message of the leader.
func (m *Machine) hear(e Session) {
	m.lease = e.Lease
	m.watermark = max(m.watermark, e.Watermark)
	was := m.pauses
	m.pauses = slices.DeleteFunc(slices.Clone(e.WritePauses), func(h WritePause) bool { return h.Until <= m.now })
	if !slices.EqualFunc(was, m.pauses, samePause) {
		m.closeEarly(func(r *repo) bool { return m.paused(r.key.VirtualStorage) })
		m.reconsider(everyWrite)
		return
	}
	m.reconsider(func(w *write) bool { return w.why == WhyWatermark && m.watermark >= w.need })
}

// samePause tells whether two are one pause, whose end may have been put off.
func samePause(a, b WritePause) bool { return a.ID == b.ID && a.VirtualStorage == b.VirtualStorage }

// endPauses forgets the pauses whose time is up.
func (m *Machine) endPauses() (ended bool) {
	over := func(h WritePause) bool { return h.Until <= m.now }
	if !slices.ContainsFunc(m.pauses, over) {
		return false
	}
	m.pauses = slices.DeleteFunc(m.pauses, over)
	return true
}

// paused reports whether new writes of the virtual storage are to wait.
func (m *Machine) paused(virtualStorage string) bool {
	return slices.ContainsFunc(m.pauses, func(h WritePause) bool { return h.VirtualStorage == virtualStorage })
}

// servesOn reports whether no pause of the virtual storage takes a storage away.
func (m *Machine) servesOn(virtualStorage string) bool {
	return !slices.ContainsFunc(m.pauses, func(h WritePause) bool { return h.VirtualStorage == virtualStorage && !h.Serving })
}

// leaves reports whether a pause waits for the end of a write that was sent: its
// status is that of a storage which does not serve any more afterwards.
func (m *Machine) leaves(w *write) bool {
	return slices.ContainsFunc(m.pauses, func(h WritePause) bool {
		return h.VirtualStorage == w.keys[0].VirtualStorage && h.Leaving != "" && h.Leaving == w.first
	})
}

// mayRoute reports whether this instance has a lease now, and the view that it
// was given for: an older one may not know of a fence or an intent that others
// took for granted. (▲ lease-older-view)
func (m *Machine) mayRoute() bool {
	return m.now < m.lease.Until && m.view.Index >= m.lease.Index
}

// errGone is why a storage is not used whose connection turned out to be gone.
var errGone = errors.New("the connection was lost")

// reached takes the state of all connections.
func (m *Machine) reached(storages []Connection) {
	m.connections = make(map[storageName]*Connection, len(storages))
	for _, r := range storages {
		m.connections[storageName{r.VirtualStorage, r.Storage}] = &r
	}
	m.reconsider(func(w *write) bool { return w.why == WhyUnreachable })
}

// lost notes that a connection is of no use.
func (m *Machine) lost(name storageName, generation uint64) {
	if r := m.connections[name]; r != nil && r.Generation == generation {
		r.Reachability = router.Reachability{Why: errGone}
	}
}

// reachabilityOf looks at the connections of one virtual storage for the router.
func (m *Machine) reachabilityOf(virtualStorage string) router.ReachabilityOf {
	return func(storage string) router.Reachability {
		if r := m.connections[storageName{virtualStorage, storage}]; r != nil {
			return r.Reachability
		}
		return router.Reachability{}
	}
}
