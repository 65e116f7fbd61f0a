package machine

import (
	"slices"

	"praefect/fsm/state"
)

// ticket is the gate of one repository in the hands of one repair, or a wait
// for it.
type ticket struct {
	id      ID
	repo    *repo
	hold    bool // new writes wait
	sealed  bool // new writes wait because a verdict is committed
	granted bool
	round   int  // how often it was renewed
	renews  bool // it waits for its next round
	spoiled bool // a write passed that began after it
	inSync  bool // a storage was declared in sync
	// differs tells that a replica was found different.
	differs bool
	// advances tells that it has the primary copied onto: writes wait for its end.
	advances bool

	// wished tells that it asked the other instances for its turn, turn that it waits for it.
	wished, turn bool

	// scope is what the repair may change.
	scope state.Scope
	// asOf is the index that the verdicts of this repair speak of.
	asOf state.Index
	// next is what it asked for while the repository was busy.
	next func()
}

// gates tells whether new writes wait for the ticket, which may be nil.
func (t *ticket) gates() bool { return t != nil && (t.hold || t.sealed) }

// take grants the gate, or refuses it. It is busy, too, while something ended
// without account and the intent over it is not yet in doubt for all to see: a late
// effect of that must not meet a copy which does not know of it. A repair is a
// write of its kind, and needs a lease as one.
func (m *Machine) take(e Take) {
	if m.stopped || m.retired {
		m.emit(Done{Ticket: e.Ticket, Err: ErrStopping})
		return
	}
	r := m.get(e.Key)
	m.touch(r)
	if r.ticket != nil || r.inDoubt || !e.Hold && r.writes > 0 || !m.mayRoute() {
		m.emit(Done{Ticket: e.Ticket, Err: ErrBusy})
		return
	}
	t := &ticket{id: e.Ticket, repo: r, hold: e.Hold}
	m.tickets[t.id], r.ticket = t, t
	m.stir(r)
	m.wake(r)
}

// serveTicket lets a ticket go on that waits for its repository.
func (m *Machine) serveTicket(t *ticket) {
	switch {
	case t.granted || t.repo.writes > 0:
	case t.repo.inDoubt && t.renews:
		m.refuseRound(t)
		return
	case t.repo.inDoubt:
		// ▲ One of the writes that it waited for ended without full account. Its effect
		// may come at the source of a copy after the copy, and nobody would know.
		delete(m.tickets, t.id)
		t.repo.ticket = nil
		m.emit(Done{Ticket: t.id, Err: ErrBusy})
		return
	case t.renews:
		m.nextRound(t)
	default:
		t.granted = true
		m.emit(Done{Ticket: t.id})
	}
	if next := t.next; next != nil && !t.repo.busy {
		t.next = nil
		next()
	}
}

// ask runs next when no proposal touches the repository of the ticket.
func (m *Machine) ask(id ID, next func(*ticket)) {
	t := m.tickets[id]
	if t == nil || !t.granted {
		m.emit(Done{Ticket: id, Err: ErrBusy})
		return
	}
	t.next = func() { next(t) }
	m.wake(t.repo)
}

// done answers a ticket that still cares.
func (m *Machine) done(t *ticket, view *state.State, err error) {
	if m.tickets[t.id] == t {
		m.emit(Done{Ticket: t.id, View: view, At: m.now, Err: err})
	}
}

func (m *Machine) openForRepair(e OpenIntent) {
	m.ask(e.Ticket, func(t *ticket) {
		r := t.repo
		t.scope = union(t.scope, e.Scope)
		if r.covered(state.Open, e.Scope) {
			m.answerIntent(t)
			return
		}
		open := &state.OpenIntent{
			VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, Kind: state.Open, Scope: e.Scope,
		}
		m.propose([]*repo{r}, []state.Command{{Open: open}}, func(a Answer) {
			if a.Err != nil {
				m.opened(r, state.Open, e.Scope, 0)
				m.done(t, nil, a.Err)
				return
			}
			if refusal := a.Results[0].Refusal; refusal != nil {
				m.done(t, nil, refusal)
				return
			}
			m.opened(r, state.Open, e.Scope, a.Results[0].Index)
			m.answerIntent(t)
		})
	})
}

// answerIntent answers a Intent. What the repair declares speaks of this view: if
// anybody touches the entry after it, the verdict is refused. ▲
func (m *Machine) answerIntent(t *ticket) {
	if entry := m.view.Entry(t.repo.key); entry != nil {
		t.asOf = entry.Changed
	}
	if !m.mayRoute() {
		m.done(t, nil, ErrBusy)
		return
	}
	m.done(t, m.view, nil)
}

func (m *Machine) declare(e Declare) {
	if t := m.tickets[e.Ticket]; t != nil && e.Round != t.round { // ▲ see renew
		m.emit(Done{Ticket: e.Ticket, Err: ErrSpoiled})
		return
	}
	m.verdict(e.Ticket, func(t *ticket) state.Command {
		return state.Command{MarkInSync: &state.MarkInSync{Key: t.repo.key, Storages: slices.Clone(e.Storages), AsOf: t.asOf}}
	})
}

func (m *Machine) resolveDoubt(e ResolveDoubt) {
	m.verdict(e.Ticket, func(t *ticket) state.Command {
		s := e.Resolution
		return state.Command{ResolveDoubt: &state.ResolveDoubt{
			Key: t.repo.key, Doubts: slices.Clone(s.Doubts), Authority: s.Authority,
			PrimaryLacks: s.PrimaryLacks, Equal: slices.Clone(s.Equal), AsOf: t.asOf,
		}}
	})
}

// verdict commits what a repair found. No write of this instance is in flight
// on the repository, and none starts before Release. ▲
func (m *Machine) verdict(id ID, command func(*ticket) state.Command) {
	if t := m.tickets[id]; t != nil && t.granted && !t.spoiled {
		t.sealed = true
	}
	m.ask(id, func(t *ticket) {
		if t.spoiled {
			m.done(t, nil, ErrSpoiled)
			return
		}
		cmd := command(t)
		t.repo.distrusted = true
		m.propose([]*repo{t.repo}, []state.Command{cmd}, func(a Answer) {
			if a.Err != nil {
				// It may yet be applied: before anything is copied again, an intent
				// must be, which comes after it or in its stead.
				t.repo.unsure = true
				m.done(t, nil, a.Err)
				return
			}
			// A repair may go on for other storages. The writes that begin now go by the
			// view with the verdict in it, and spoil what the ticket says later.
			t.sealed = false
			m.wake(t.repo)
			if refusal := a.Results[0].Refusal; refusal != nil {
				m.done(t, nil, refusal)
				return
			}
			t.inSync = cmd.MarkInSync != nil
			t.asOf = max(t.asOf, a.Results[0].Index)
			m.done(t, nil, nil)
		})
	})
}

func (m *Machine) unhold(id ID) {
	t := m.tickets[id]
	if t == nil || !t.hold {
		return
	}
	t.hold = false
	m.wake(t.repo)
}

func (m *Machine) release(e Release) {
	t := m.tickets[e.Ticket]
	if t == nil {
		return
	}
	delete(m.tickets, e.Ticket)
	r := t.repo
	r.ticket = nil
	if !e.Arrived {
		scope := t.scope
		if e.Doubtful != nil {
			scope.Targets = slices.Sorted(slices.Values(e.Doubtful))
		}
		r.doubted(scope)
	}
	r.prompt = r.prompt || t.inSync || t.advances || t.differs
	m.unwish(t)
	m.wake(r)
}
