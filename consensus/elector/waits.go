package elector

import "praefect/fsm/state"

// perLook bounds the entries of the ledger that one Step looks at. The leader grants no lease
// meanwhile.
const perLook = 1000

// search goes through the ledger, some entries at a time, for repositories that a promotion
// waits for. It need not go back: an entry that is not waited for never will be.
type search struct {
	// next is the first path that was not looked at.
	next string
	// done tells that there is none.
	done bool
}

// waits counts the repositories that are waited for: for a promotion the ones that the storage
// misses writes of since before it began, and that no client is writing to; for a drain the ones
// that no other storage could serve. Clients that go on writing lose nothing: a
// repository that they wrote last keeps its primary until it is repaired.
//
// While a promotion waits for any repository, the count includes the ones that were written
// meanwhile: telling them apart would take a look at each entry.
func (o Operation) waits(view *state.State) (Operation, int) {
	vs := view.VirtualStorage(o.VirtualStorage)
	switch {
	case vs == nil:
		return o, 0
	case o.Verb == Drain:
		return o, view.Count(vs.Name, func(e *state.Entry) bool { return onlyOn(vs, e, o.Storage) })
	}
	idle := view.Count(vs.Name, o.idle)
	if idle == 0 {
		return o, 0
	}
	if o.caughtUp = o.caughtUp.step(view, o); o.caughtUp.done {
		return o, 0
	}
	return o, idle
}

// idle tells whether the storage misses writes of a repository that no client is writing to.
func (o Operation) idle(e *state.Entry) bool { return e.IsBehind(o.Storage) && !e.HasLive() }

// step looks at the next entries, until it finds one to wait for.
func (s search) step(view *state.State, o Operation) search {
	if s.done {
		return s
	}
	left := perLook
	s.done = true
	view.From(state.Key{VirtualStorage: o.VirtualStorage, RelativePath: s.next}, func(k state.Key, e *state.Entry) bool {
		left--
		if left < 0 || o.idle(e) && e.Changed <= o.Seen {
			s.next, s.done = k.RelativePath, false
		}
		return s.done
	})
	return s
}
