package machine

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

func (ws *writes) ended(e Ended) {
	w := ws.all[e.Write]
	if w == nil || !w.phase.forwarded() {
		return
	}
	ws.endVote(w)
	w.agreeing = e.Agreeing
	if !w.route.Votes {
		w.agreeing = []string{w.route.Primary}
	}
	if e.Succeeded {
		ws.enter(w, accounting)
		w.begun = ws.now // it may have run for hours; its waits from now on have bounds of their own
	}
	// ▲ machine-clean-without-status, vote-clean-without-status, vote-failed-alike: How a storage
	// failed does not tell whether it changed something before: two may have given up with the same
	// words, the one before and the other after a change.
	unclear := !e.Arrived || w.route.Votes && !e.Succeeded
	if unclear && !w.harmless() {
		ws.doubt(w)
	}
	if !e.Succeeded {
		ws.enter(w, ws.finish(w))
		return
	}
	ws.advance(w)
}

// harmless tells that nothing has happened anywhere, and nothing will: no vote of
// the write was allowed. If it ended well all the same, it has perhaps done
// something that no vote was asked for.
func (w *write) harmless() bool {
	return w.route.Votes && w.allowed != possible && !w.phase.succeeded()
}

// conclude ends a write that has succeeded. Between two leases its status waits
// for the next one, with the view of that: a fence that others have agreed on
// meanwhile is in that view, and dooms it. Its intent stays open all the time.
func (ws *writes) conclude(w *write) phase {
	switch {
	case w.doomed != nil || ws.retired:
		return ws.finish(w)
	case !ws.mayRoute():
		return ws.wait(w, WhyLease, nil)
	}
	if w.route.Votes { // a primary-only write was accounted for before it was forwarded
		if next := ws.enlist(w); next != pass {
			return next
		}
		// ▲ vote-unlike-the-primary: A destination that ended unlike the primary falls behind before
		// the client has the status, and no instance reads there any more.
		if next := ws.accountedFor(w); next != pass {
			return next
		}
	}
	ws.leave(w)
	return ws.takeDeleteBack(w)
}

// takeDeleteBack, once a write has succeeded, takes back the order of an earlier delete to the
// storages that are behind: remove the repository if the primary lacks it. A create must not take
// it back before its effect: if it then failed, no repair would remove the copies that the delete
// has left. Nor must a write beside which a delete was under way: the ledger cannot tell which came
// first. A repair looks at the primary first, so that no harm is done if this is left out, or we
// die before.
func (ws *writes) takeDeleteBack(w *write) phase {
	if w.deletes || w.beside || w.phase == cleared || !slices.ContainsFunc(w.keys, ws.wasDeleted) {
		return ws.finish(w)
	}
	for _, r := range w.on() {
		if r.busy {
			ws.queue(w, r)
			return w.phase
		}
	}
	ws.intents.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedClear)}, func(Answer) {
		ws.enter(w, cleared)
		ws.advance(w) // it may have accounted for more
	})
	return w.phase
}

// wasDeleted tells whether a delete can be taken back: it is in the ledger, and no
// other instance can have one under way, whose effect may come after ours.
func (ws *writes) wasDeleted(k state.Key) bool {
	e := ws.view.Entry(k)
	return e != nil && e.Deleted && !slices.ContainsFunc(e.Intents, func(intent state.Intent) bool {
		return intent.Incarnation != ws.incarnation || intent.InDoubt != nil
	})
}

// finish ends a write that was forwarded.
func (ws *writes) finish(w *write) phase {
	err := w.doomed
	switch {
	case err == nil && ws.retired:
		err = ErrRetired
	case err == nil && w.phase.succeeded() && !ws.mayRoute(): // ▲ machine-status-without-lease: no other instance relies on us any more
		err = ErrDoomed
	}
	if err != nil && !w.harmless() {
		ws.doubt(w)
	}
	ws.emit(Finish{Write: w.id, Err: err})
	return over
}

// doubt notes that the write ends without full account.
func (ws *writes) doubt(w *write) {
	if !w.registered {
		return // no vote of it was ever decided
	}
	_, scope := w.intent(ws.cfg.VoteBound)
	scope.Targets = slices.Compact(slices.Sorted(slices.Values(w.sent)))
	for _, r := range w.on() {
		r.doubted(scope)
	}
}

// refuse ends a write that was not forwarded. A forwarded write that has waited in vain gets no
// votes allowed, or no status passed on.
func (ws *writes) refuse(w *write, err error) phase {
	switch {
	case w.phase == voting:
		return ws.answer(w, err)
	case w.phase.succeeded():
		if w.doomed == nil {
			w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
		}
		return ws.finish(w)
	}
	ws.emit(Reject{Write: w.id, Why: w.why, Err: err})
	return over
}

// cancel ends a write whose client is gone. A proposal under way goes on: its answer is needed even
// so.
func (ws *writes) cancel(id ID) {
	w := ws.all[id]
	switch {
	case w == nil || w.phase >= sent:
	case w.proposing && w.place == nil: // else it was sent back, and waits for the answer like others
		ws.enter(w, abandoned)
	default:
		ws.enter(w, over)
	}
}
