package machine

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// vote has the votes of the agreeing storages allowed, once every other storage is accounted for.
func (ws *writes) vote(e Vote) {
	w := ws.all[e.Write]
	if w == nil || w.phase != sent || !w.route.Votes {
		ws.emit(Allowed{Write: e.Write, Err: ErrEnded})
		return
	}
	ws.enter(w, voting)
	w.agreeing, w.asked = e.Agreeing, possible
	if e.Harmless {
		w.asked = harmless
	}
	w.begun = ws.now // the bounds of its waits count from here
	ws.advance(w)
}

// decide takes a Vote to its answer. All that lets votes be allowed is asked
// here, in one Step with the Allowed, in every round. (▲ vote-commits-unasked)
func (ws *writes) decide(w *write) phase {
	switch {
	case ws.retired:
		return ws.answer(w, ErrRetired)
	case w.doomed != nil: // ▲ vote-doomed
		return ws.answer(w, w.doomed)
	case !ws.mayRoute(): // ▲ vote-without-lease: without a lease others may have given the primary's role away
		return ws.wait(w, WhyLease, nil)
	}
	if next := ws.enlist(w); next != pass {
		return next
	}
	if next := ws.accountedFor(w); next != pass {
		return next
	}
	return ws.answer(w, nil)
}

// enlist has a write that votes in flight and covered by an intent: from its first vote on, before
// which nothing of it has happened. So a write that takes its time to come in keeps neither
// a repair nor a switchover waiting; and it is routed again, by the view of the Step
// that registers it, and by that of its intent. Without that the write waits, or is
// doomed. (▲ vote-without-intent)
func (ws *writes) enlist(w *write) phase {
	if next := ws.entered(w); next != pass {
		return next
	}
	if !w.registered && ws.paused(w.keys[0].VirtualStorage) && !ws.leaves(w) {
		return ws.wait(w, WhyPause, nil)
	}
	if w.allowed == noEffect {
		why, err := ws.reroute(w)
		switch {
		case err != nil:
			w.doomed = err
			return ws.giveUp(w, err)
		case why != "":
			ws.unregister(w)
			return ws.wait(w, why, nil)
		}
	}
	// The primary was another storage when they voted, or has gone a way of its own:
	// no storage can vouch for the others.
	if !slices.Contains(w.agreed(), w.route.Primary) {
		return ws.giveUp(w, ErrRerouted)
	}
	ws.register(w)
	return ws.commit(w)
}

// sentTo tells whether the write was sent to a storage that was not dropped.
func (w *write) sentTo(name string) bool {
	return name == w.first || slices.ContainsFunc(w.others, func(d Destination) bool { return d.Storage == name })
}

// answer answers the Vote under way.
func (ws *writes) answer(w *write, err error) phase {
	ws.leave(w)
	if err == nil {
		w.allowed = max(w.allowed, w.asked)
	}
	ws.emit(Allowed{Write: w.id, Err: err})
	return sent
}

// endVote answers the Vote under way, if one is, of a write that votes no more.
func (ws *writes) endVote(w *write) {
	if w.phase == voting {
		ws.enter(w, ws.answer(w, ErrEnded))
	}
}

// giveUp answers the Vote under way, or ends a write that has succeeded: it cannot be accounted for.
func (ws *writes) giveUp(w *write, err error) phase {
	if w.phase == voting {
		return ws.answer(w, err)
	}
	w.doomed = err
	return ws.finish(w)
}

// accountedFor passes a write if every storage that does not agree is behind, and every instance
// that may read knows: then the effect may show. Otherwise it sees to that, and the write is asked
// again by advance, or refused.
func (ws *writes) accountedFor(w *write) phase {
	if !ws.agreed(w) {
		ws.leave(w)
		w.proposing = true
		ws.intents.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedKeep)}, func(a Answer) {
			w.proposing = false
			ws.accountAnswered(w, a)
		})
		return w.phase
	}
	// ▲ vote-below-watermark: The command that took a storage away from the readers of the
	// repository is known to every instance that may read before the effect is visible.
	w.need = 0
	for _, r := range w.on() {
		w.need = max(w.need, ws.view.Shrunk(r.key))
	}
	if ws.watermark < w.need {
		return ws.wait(w, WhyWatermark, nil)
	}
	return pass
}

// accountAnswered goes on with a write whose account has an answer. Without one
// that says applied, nothing is acknowledged and no vote is allowed, and the intent
// ends in doubt if anything may have happened. (▲ vote-account-refused)
func (ws *writes) accountAnswered(w *write, a Answer) {
	err := a.Err
	if err == nil && a.Results[0].Refusal != nil {
		err = a.Results[0].Refusal
	}
	if err == nil {
		w.changed = true
		for _, r := range w.on() {
			r.distrusted = false
		}
	}
	if w.phase != voting && !w.phase.succeeded() {
		return // it has ended meanwhile, or goes another way
	}
	if err != nil && w.doomed == nil {
		w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
	}
	if w.at == nil { // else it waits for this answer, and is asked in a moment
		ws.advance(w)
	}
}

// agreed tells whether each storage of the virtual storage, in any state, agrees or is behind: as
// an account would have it that was applied now. (▲ vote-without-account, vote-forgets-the-out)
func (ws *writes) agreed(w *write) bool {
	vs := ws.view.VirtualStorage(w.keys[0].VirtualStorage)
	if vs == nil {
		return false // the account is refused, and says why
	}
	agreed := w.agreed()
	for _, r := range w.on() {
		entry := ws.view.Entry(r.key)
		for i := range vs.Succession {
			s := &vs.Succession[i]
			agrees := slices.Contains(agreed, s.Name) && w.mayUse(vs, s.Name)
			// The view may still have entries that an earlier conclusion of ours takes back.
			if !agrees && (r.distrusted || !entry.IsBehind(s.Name)) {
				return false
			}
		}
	}
	return true
}
