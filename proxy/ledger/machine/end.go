package machine

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// doom keeps the status of a write from its client, and ends its RPC if that
// goes on.
func (m *Machine) doom(w *write, err error) {
	if w.doomed != nil {
		return
	}
	w.doomed = err
	if w.forwarded {
		m.emit(Doom{Write: w.id, Err: err})
	}
}

func (m *Machine) ended(e Ended) {
	w := m.writes[e.Write]
	if w == nil || !w.forwarded {
		return
	}
	m.answerVote(w, ErrEnded)
	w.forwarded = false
	m.prepares(w)
	w.succeeded, w.agreeing = e.Succeeded, e.Agreeing
	if !w.route.Votes {
		w.agreeing = []string{w.route.Primary}
	}
	// ▲ machine-clean-without-status, vote-clean-without-status, vote-failed-alike: How a storage
	// failed does not tell whether it changed something before: two may have given up with the same
	// words, the one before and the other after a change.
	unclear := !e.Arrived || w.route.Votes && !e.Succeeded
	if unclear && !w.harmless() {
		m.doubt(w)
	}
	if !e.Succeeded {
		m.finish(w)
		return
	}
	w.clearing = true
	m.prepares(w)
	w.begun = m.now // it may have run for hours; its waits from now on have bounds of their own
	m.conclude(w)
}

// harmless tells that nothing has happened anywhere, and nothing will: no vote of
// the write was allowed. If it ended well all the same, it has perhaps done
// something that no vote was asked for.
func (w *write) harmless() bool { return w.route.Votes && !w.effective && !w.succeeded }

// conclude ends a write that has succeeded. Between two leases its status waits
// for the next one, with the view of that: a fence that others have agreed on
// meanwhile is in that view, and dooms it. Its intent stays open all the time.
func (m *Machine) conclude(w *write) {
	switch {
	case w.doomed != nil || m.retired:
		m.finish(w)
		return
	case !m.mayRoute():
		m.wait(w, WhyLease, nil)
		return
	}
	if w.route.Votes && !m.enlist(w) {
		return
	}
	// ▲ vote-unlike-the-primary: A destination that ended unlike the primary falls behind before
	// the client has the status, and no instance reads there any more.
	if !m.accountedFor(w) {
		return
	}
	m.leave(w)
	m.takeDeleteBack(w)
}

// takeDeleteBack, once a write has succeeded, takes back the order of an earlier delete to the
// storages that are behind: remove the repository if the primary lacks it. A create must not take
// it back before its effect: if it then failed, no repair would remove the copies that the delete
// has left. Nor must a write beside which a delete was under way: the ledger cannot tell which came
// first. A repair looks at the primary first, so that no harm is done if this is left out, or we
// die before.
func (m *Machine) takeDeleteBack(w *write) {
	if w.deletes || w.beside || w.cleared || !w.succeeded || !slices.ContainsFunc(w.keys, m.wasDeleted) {
		m.finish(w)
		return
	}
	for _, r := range w.on() {
		if r.busy {
			m.queue(w, r)
			return
		}
	}
	m.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedClear)}, func(Answer) {
		w.cleared = true
		m.conclude(w) // it may have accounted for more
	})
}

// wasDeleted tells whether a delete can be taken back: it is in the ledger, and no
// other instance can have one under way, whose effect may come after ours.
func (m *Machine) wasDeleted(k state.Key) bool {
	e := m.view.Entry(k)
	return e != nil && e.Deleted && !slices.ContainsFunc(e.Intents, func(intent state.Intent) bool {
		return intent.Incarnation != m.incarnation || intent.InDoubt != nil
	})
}

// finish ends a write that was forwarded.
func (m *Machine) finish(w *write) {
	err := w.doomed
	switch {
	case err == nil && m.retired:
		err = ErrRetired
	case err == nil && w.succeeded && !m.mayRoute(): // ▲ machine-status-without-lease: no other instance relies on us any more
		err = ErrDoomed
	}
	if err != nil && !w.harmless() {
		m.doubt(w)
	}
	m.emit(Finish{Write: w.id, Err: err})
	m.forget(w)
}

// doubt notes that the write ends without full account.
func (m *Machine) doubt(w *write) {
	if !w.registered {
		return // no vote of it was ever decided
	}
	_, scope := w.intent(m.cfg.VoteBound)
	scope.Targets = slices.Compact(slices.Sorted(slices.Values(w.sent)))
	for _, r := range w.on() {
		r.doubted(scope)
	}
}

// reject ends a write that was not forwarded. A forwarded write that has waited in vain gets no
// votes allowed, or no status passed on.
func (m *Machine) reject(w *write, err error) {
	switch {
	case w.voting:
		m.answerVote(w, err)
		return
	case w.clearing:
		if w.doomed == nil {
			w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
		}
		m.finish(w)
		return
	}
	m.emit(Reject{Write: w.id, Why: w.why, Err: err})
	m.forget(w)
}

// cancel ends a write whose client is gone. A proposal under way goes on: its answer is needed even
// so.
func (m *Machine) cancel(id ID) {
	w := m.writes[id]
	switch {
	case w == nil || w.forwarded || w.clearing:
	case w.proposing && w.place == nil: // else it was sent back, and waits for the answer like others
		w.canceled = true
	default:
		m.forget(w)
	}
}

func (m *Machine) forget(w *write) {
	m.leave(w)
	w.forwarded, w.clearing = false, false
	m.unregister(w)
	m.prepares(w)
	if w.changed {
		m.emit(Behind{Keys: w.keys})
	}
	delete(m.writes, w.id)
}
