package machine

import (
	"fmt"
	"slices"

	"praefect/fsm/state"
)

// vote has the votes of those that agree released, once everybody else is
// accounted for.
func (m *Machine) vote(e Vote) {
	w := m.writes[e.Write]
	if w == nil || !w.forwarded || w.voting || !w.route.Votes {
		m.emit(Released{Write: e.Write, Err: ErrEnded})
		return
	}
	w.voting, w.agreeing = true, e.Agreeing
	w.begun = m.now // what it waits for has bounds that count from here
	m.decide(w)
}

// decide takes a Vote as far as it gets. All that lets votes be released is asked
// here, in one Step with the Released, in every round. ▲
func (m *Machine) decide(w *write) {
	switch {
	case m.retired:
		m.answerVote(w, ErrRetired)
		return
	case w.doomed != nil:
		m.answerVote(w, w.doomed)
		return
	case !m.mayRoute(): // ▲ without a lease others may have given the primary's role away
		m.wait(w, WhyLease, nil)
		return
	}
	if !m.accountedFor(w) {
		return
	}
	m.leave(w)
	m.answerVote(w, nil)
}

// answerVote answers the Vote under way, if one is.
func (m *Machine) answerVote(w *write, err error) {
	if !w.voting {
		return
	}
	m.leave(w)
	w.voting = false
	w.released = w.released || err == nil
	m.emit(Released{Write: w.id, Err: err})
}

// accountedFor tells whether every storage that does not agree is behind, as all
// know who may read: then the effect may show. Otherwise it sees to that, and the
// write is asked again by advance, or rejected. A solo write was accounted for
// before it was forwarded.
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
	// ▲ Whoever took a storage away from the readers of the repository: all who may
	// read know of it before the effect is visible.
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
// that says applied, nothing is acknowledged and no vote is released, and the mark
// ends dirty if anything may have happened. ▲
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
	switch {
	case m.writes[w.id] != w: // it has ended meanwhile
		return
	case w.canceled: // it went another way, and nobody wants it any more
		m.forget(w)
		return
	case !w.voting && !w.clearing: // it goes another way
		return
	}
	if err != nil && w.doomed == nil {
		w.doomed = fmt.Errorf("%w: %w", ErrDoomed, err)
	}
	if w.at == nil { // else it waits for this answer, and is asked in a moment
		m.advance(w)
	}
}

// agreed tells whether each storage of the virtual storage, whatever its standing,
// agrees or is behind: as an account would have it that was applied now. ▲
func (m *Machine) agreed(w *write) bool {
	vs := m.view.VirtualStorage(w.keys[0].VirtualStorage)
	if vs == nil {
		return false // the account is refused, and says why
	}
	for _, r := range w.on() {
		entry := m.view.Entry(r.key)
		for i := range vs.Succession {
			s := &vs.Succession[i]
			agrees := slices.Contains(w.agreeing, s.Name) && w.mayUse(vs, s.Name)
			// What an earlier verdict of ours takes back may still be in the view.
			if !agrees && (r.distrusted || !entry.IsBehind(s.Name)) {
				return false
			}
		}
	}
	return true
}
