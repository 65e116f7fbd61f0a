package machine

import (
	"errors"
	"fmt"
	"slices"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// vote has the votes of the agreeing storages allowed, once every other storage is accounted for.
func (m *Machine) vote(e Vote) {
	w := m.writes[e.Write]
	if w == nil || !w.forwarded || w.voting || !w.route.Votes {
		m.emit(Allowed{Write: e.Write, Err: ErrEnded})
		return
	}
	w.voting, w.agreeing, w.mild = true, e.Agreeing, e.Harmless
	w.begun = m.now // the bounds of its waits count from here
	m.decide(w)
}

// decide takes a Vote as far as it gets. All that lets votes be allowed is asked
// here, in one Step with the Allowed, in every round. (▲ vote-commits-unasked)
func (m *Machine) decide(w *write) {
	switch {
	case m.retired:
		m.answerVote(w, ErrRetired)
		return
	case w.doomed != nil: // ▲ vote-doomed
		m.answerVote(w, w.doomed)
		return
	case !m.mayRoute(): // ▲ vote-without-lease: without a lease others may have given the primary's role away
		m.wait(w, WhyLease, nil)
		return
	}
	if !m.enlist(w) {
		return
	}
	if !m.accountedFor(w) {
		return
	}
	m.leave(w)
	m.answerVote(w, nil)
}

// enlist has a write that votes in flight and covered by an intent: from its first vote on, before
// which nothing of it has happened. So a write that takes its time to come in keeps neither
// a repair nor a switchover waiting; and it is routed anew, by the view of the Step
// that registers it, and by that of its intent. Without that the write waits, or is
// doomed. (▲ vote-without-intent)
func (m *Machine) enlist(w *write) bool {
	if !m.entered(w) {
		return false
	}
	if !w.registered && m.paused(w.keys[0].VirtualStorage) && !m.leaves(w) {
		m.wait(w, WhyPause, nil)
		return false
	}
	if !w.allowed {
		why, err := m.reroute(w)
		switch {
		case err != nil:
			w.doomed = err
			m.advance(w)
			return false
		case why != "":
			m.unregister(w)
			m.wait(w, why, nil)
			return false
		}
	}
	// The primary was another storage when they voted, or has gone a way of its own:
	// no storage can vouch for the others.
	if !slices.Contains(w.agreed(), w.route.Primary) {
		if w.voting {
			m.answerVote(w, ErrRerouted)
		} else {
			w.doomed = ErrRerouted
			m.advance(w)
		}
		return false
	}
	m.register(w)
	for _, r := range w.on() {
		if r.busy {
			m.wait(w, WhyProposal, r)
			return false
		}
	}
	return !m.commit(w)
}

// reroute names the primary of now for a write that was sent to its destinations
// already: it must be one of them.
func (m *Machine) reroute(w *write) (why Why, err error) {
	route, err := router.RouteWrite(m.view, w.involved, false, func(name string) router.Reachability {
		if w.sentTo(name) {
			return router.Reachability{OK: true, FilesystemID: m.view.VirtualStorage(w.keys[0].VirtualStorage).Storage(name).FilesystemID}
		}
		return router.Reachability{}
	})
	if refusal, ok := errors.AsType[*router.Refusal](err); ok && refusal.Kind == router.PrimaryFenced {
		w.obstacle = err
		return WhyFenced, nil
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRerouted, err)
	}
	w.route.Primary, w.route.Epoch = route.Primary, route.Epoch
	m.dropOthers(w, w.mayUse)
	if vs := m.view.VirtualStorage(w.keys[0].VirtualStorage); !w.mayUse(vs, w.first) {
		return "", ErrRerouted
	}
	return "", nil
}

// sentTo tells whether the write was sent to a storage that was not dropped.
func (w *write) sentTo(name string) bool {
	return name == w.first || slices.ContainsFunc(w.others, func(d Destination) bool { return d.Storage == name })
}

// answerVote answers the Vote under way, if one is.
func (m *Machine) answerVote(w *write, err error) {
	if !w.voting {
		return
	}
	m.leave(w)
	w.voting = false
	w.allowed = w.allowed || err == nil
	w.effective = w.effective || err == nil && !w.mild
	m.emit(Allowed{Write: w.id, Err: err})
}

// accountedFor tells whether every storage that does not agree is behind, and every instance that
// may read knows: then the effect may show. Otherwise it sees to that, and the write is asked again
// by advance, or rejected. A primary-only write was accounted for before it was forwarded.
func (m *Machine) accountedFor(w *write) bool {
	if !w.route.Votes {
		return true
	}
	for _, r := range w.on() {
		if r.busy {
			m.wait(w, WhyProposal, r)
			return false
		}
	}
	if !m.agreed(w) {
		m.leave(w)
		w.proposing = true
		m.propose(slices.Clone(w.on()), []state.Command{w.account(state.DeletedKeep)}, func(a Answer) {
			w.proposing = false
			m.accountAnswered(w, a)
		})
		return false
	}
	// ▲ vote-below-watermark: The command that took a storage away from the readers of the
	// repository is known to every instance that may read before the effect is visible.
	w.need = 0
	for _, r := range w.on() {
		w.need = max(w.need, m.view.Shrunk(r.key))
	}
	if m.watermark < w.need {
		m.wait(w, WhyWatermark, nil)
		return false
	}
	return true
}

// accountAnswered goes on with a write whose account has an answer. Without one
// that says applied, nothing is acknowledged and no vote is allowed, and the intent
// ends in doubt if anything may have happened. (▲ vote-account-refused)
func (m *Machine) accountAnswered(w *write, a Answer) {
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
	if m.writes[w.id] != w || !w.voting && !w.clearing {
		return // it has ended meanwhile, or goes another way
	}
	if err != nil && w.doomed == nil {
		w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
	}
	if w.at == nil { // else it waits for this answer, and is asked in a moment
		m.advance(w)
	}
}

// agreed tells whether each storage of the virtual storage, in any state, agrees or is behind: as
// an account would have it that was applied now. (▲ vote-without-account, vote-forgets-the-out)
func (m *Machine) agreed(w *write) bool {
	vs := m.view.VirtualStorage(w.keys[0].VirtualStorage)
	if vs == nil {
		return false // the account is refused, and says why
	}
	agreed := w.agreed()
	for _, r := range w.on() {
		entry := m.view.Entry(r.key)
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
