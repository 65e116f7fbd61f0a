package elector

import "praefect/fsm/state"

// Outlook counts the repositories that a switchover concerns, for its plan.
type Outlook struct {
	// Behind is how many the successor of a promotion misses writes of, or that only the storage
	// to drain could serve. Busy of them are being written to: a promotion does not wait for them,
	// and each keeps its present primary until it is repaired.
	Behind, Busy int
	// InDoubt is how many have a write with an unknown outcome.
	InDoubt int
	// Serving is how many storages serve afterwards.
	Serving int
}

// Outlook costs the same however many entries the ledger has.
func (o Operation) Outlook(view *state.State) Outlook {
	var sum Outlook
	vs := view.VirtualStorage(o.VirtualStorage)
	if vs == nil {
		return sum
	}
	for i := range vs.Succession {
		if s := &vs.Succession[i]; s.State == state.Serving && (o.Verb == Promote || s.Name != o.Storage) {
			sum.Serving++
		}
	}
	for e, n := range view.Alike(vs.Name) {
		concerned := o.Verb == Promote && e.IsBehind(o.Storage) || o.Verb == Drain && onlyOn(vs, e, o.Storage)
		if concerned {
			sum.Behind += n
		}
		if concerned && e.HasLive() {
			sum.Busy += n
		}
		if e.HasDoubt() {
			sum.InDoubt += n
		}
	}
	return sum
}
