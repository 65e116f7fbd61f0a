package machine

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// doom keeps the status of a write from its client, and ends its RPC if that
// goes on.
func (ws *writes) doom(w *write, err error) {
	if w.doomed != nil {
		return
	}
	w.doomed = err
	if w.forwarded {
		ws.emit(Doom{Write: w.id, Err: err})
	}
}

func (ws *writes) ended(e Ended) {
	w := ws.all[e.Write]
	if w == nil || !w.forwarded {
		return
	}
	ws.answerVote(w, ErrEnded)
	w.forwarded = false
	ws.prepares(w)
	w.succeeded, w.agreeing = e.Succeeded, e.Agreeing
	if !w.route.Votes {
		w.agreeing = []string{w.route.Primary}
	}
	// ▲ machine-clean-without-status, vote-clean-without-status, vote-failed-alike: How a storage
	// failed does not tell whether it changed something before: two may have given up with the same
	// words, the one before and the other after a change.
	unclear := !e.Arrived || w.route.Votes && !e.Succeeded
	if unclear && !w.harmless() {
		ws.doubt(w)
	}
	if !e.Succeeded {
		ws.finish(w)
		return
	}
	w.clearing = true
	ws.prepares(w)
	w.begun = ws.now // it may have run for hours; its waits from now on have bounds of their own
	ws.conclude(w)
}

// harmless tells that nothing has happened anywhere, and nothing will: no vote of
// the write was allowed. If it ended well all the same, it has perhaps done
// something that no vote was asked for.
func (w *write) harmless() bool { return w.route.Votes && !w.effective && !w.succeeded }

// conclude ends a write that has succeeded. Between two leases its status waits
// for the next one, with the view of that: a fence that others have agreed on
// meanwhile is in that view, and dooms it. Its intent stays open all the time.
func (ws *writes) conclude(w *write) {
	switch {
	case w.doomed != nil || ws.retired:
		ws.finish(w)
		return
	case !ws.mayRoute():
		ws.wait(w, WhyLease, nil)
		return
	}
	if w.route.Votes && !ws.enlist(w) {
		return
	}
	// ▲ vote-unlike-the-primary: A destination that ended unlike the primary falls behind before
	// the client has the status, and no instance reads there any more.
	if !ws.accountedFor(w) {
		return
	}
	ws.leave(w)
	ws.takeDeleteBack(w)
}

// takeDeleteBack, once a write has succeeded, takes back the order of an earlier delete to the
// storages that are behind: remove the repository if the primary lacks it. A create must not take
// it back before its effect: if it then failed, no repair would remove the copies that the delete
// has left. Nor must a write beside which a delete was under way: the ledger cannot tell which came
// first. A repair looks at the primary first, so that no harm is done if this is left out, or we
// die before.
func (ws *writes) takeDeleteBack(w *write) {
	if w.deletes || w.beside || w.cleared || !w.succeeded || !slices.ContainsFunc(w.keys, ws.wasDeleted) {
		ws.finish(w)
		return
	}
	for _, r := range w.on() {
		if r.busy {
			ws.queue(w, r)
			return
		}
	}
	ws.intents.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedClear)}, func(Answer) {
		w.cleared = true
		ws.conclude(w) // it may have accounted for more
	})
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
func (ws *writes) finish(w *write) {
	err := w.doomed
	switch {
	case err == nil && ws.retired:
		err = ErrRetired
	case err == nil && w.succeeded && !ws.mayRoute(): // ▲ machine-status-without-lease: no other instance relies on us any more
		err = ErrDoomed
	}
	if err != nil && !w.harmless() {
		ws.doubt(w)
	}
	ws.emit(Finish{Write: w.id, Err: err})
	ws.forget(w)
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

// reject ends a write that was not forwarded. A forwarded write that has waited in vain gets no
// votes allowed, or no status passed on.
func (ws *writes) reject(w *write, err error) {
	switch {
	case w.voting:
		ws.answerVote(w, err)
		return
	case w.clearing:
		if w.doomed == nil {
			w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
		}
		ws.finish(w)
		return
	}
	ws.emit(Reject{Write: w.id, Why: w.why, Err: err})
	ws.forget(w)
}

// cancel ends a write whose client is gone. A proposal under way goes on: its answer is needed even
// so.
func (ws *writes) cancel(id ID) {
	w := ws.all[id]
	switch {
	case w == nil || w.forwarded || w.clearing:
	case w.proposing && w.place == nil: // else it was sent back, and waits for the answer like others
		w.canceled = true
	default:
		ws.forget(w)
	}
}

func (ws *writes) forget(w *write) {
	ws.leave(w)
	w.forwarded, w.clearing = false, false
	ws.unregister(w)
	ws.prepares(w)
	if w.changed {
		ws.emit(Behind{Keys: w.keys})
	}
	delete(ws.all, w.id)
}
