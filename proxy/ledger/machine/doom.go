package machine

import (
	"cmp"
	"maps"
	"slices"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// doom keeps the status of a write from its client, and ends its RPC if that
// goes on.
func (ws *writes) doom(w *write, err error) {
	if w.doomed != nil {
		return
	}
	w.doomed = err
	if w.phase.forwarded() {
		ws.emit(Doom{Write: w.id, Err: err})
	}
}

func (ws *writes) changedSince(w *write, before *state.State) bool {
	changed := func(e *state.Entry) state.Index {
		if e == nil {
			return 0
		}
		return e.Changed
	}
	return slices.ContainsFunc(w.involved, func(k state.Key) bool { return changed(before.Entry(k)) != changed(ws.view.Entry(k)) })
}

// doomFenced dooms the writes under way on storages that are no destination
// any more, or were none for a while.
func (ws *writes) doomFenced() {
	for _, w := range ws.ordered() {
		if w.phase < sent {
			continue
		}
		vs := ws.view.VirtualStorage(w.keys[0].VirtualStorage)
		// ▲ machine-fence-dooms-nothing, driver-reports-before-dooming: A fence that is applied
		// ends the writes on its storage: the successor is admitted once every instance says so.
		may := w.mayUse
		if w.route.Votes && !w.registered {
			may = w.mayWait
		}
		if !may(vs, w.first) || !may(vs, w.route.Primary) {
			ws.doom(w, ErrDoomed)
			continue
		}
		ws.dropOthers(w, may)
	}
}

// dropOthers drops the destinations beside the first that are none any more.
func (ws *writes) dropOthers(w *write, may func(*state.VirtualStorage, string) bool) {
	vs := ws.view.VirtualStorage(w.keys[0].VirtualStorage)
	w.others = slices.DeleteFunc(w.others, func(d Destination) bool {
		gone := !may(vs, d.Storage)
		if gone && w.phase.forwarded() {
			ws.emit(Drop{Write: w.id, Storage: d.Storage, Err: ErrDropped})
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
func (ws *writes) retire() {
	ws.retired = true
	for _, w := range ws.ordered() {
		switch {
		case w.phase >= sent:
			ws.doom(w, ErrRetired)
		case !w.proposing:
			ws.enter(w, ws.refuse(w, ErrRetired))
		}
	}
	ws.reconsider(everyWrite) // the writes whose status waits for a lease
}

// ordered are the writes in the order of their names, so that the same events
// give the same effects.
func (ws *writes) ordered() []*write {
	return slices.SortedFunc(maps.Values(ws.all), func(a, b *write) int { return cmp.Compare(a.id, b.id) })
}

// leaves reports whether a pause waits for the end of a write that was sent: its
// status is that of a storage which does not serve any more afterwards.
func (ws *writes) leaves(w *write) bool {
	return slices.ContainsFunc(ws.pauses, func(h routing.WritePause) bool {
		return h.VirtualStorage == w.keys[0].VirtualStorage && h.Leaving != "" && h.Leaving == w.first
	})
}
