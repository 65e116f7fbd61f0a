package machine

// renew has a repair that spoiled, or for which there is more to do, begin another round under
// the same intent, while calls of the former rounds go on. It is granted where a new repair
// would be: with Hold new writes wait, and those in flight are waited for.
//
// ▲ What was copied in a former round is declared in none: a write may have passed since the
// copy began, and the entry is judged as of the intent of the new round.
func (m *Machine) renew(e Renew) {
	t := m.tickets[e.Ticket]
	if t == nil || !t.granted || t.sealed || t.advances {
		m.emit(Done{Ticket: e.Ticket, Err: ErrBusy})
		return
	}
	r := t.repo
	switch {
	case m.stopped || m.retired:
		m.emit(Done{Ticket: e.Ticket, Err: ErrStopping})
		return
	case r.inDoubt || !e.Hold && r.writes > 0 || !m.mayRoute():
		m.emit(Done{Ticket: e.Ticket, Err: ErrBusy})
		return
	}
	t.granted, t.renews, t.hold = false, true, e.Hold
	m.touch(r)
	m.wake(r)
}

// nextRound begins the round that a ticket waits for.
func (m *Machine) nextRound(t *ticket) {
	t.granted, t.renews, t.spoiled = true, false, false
	t.round++
	m.emit(Done{Ticket: t.id, Round: t.round})
}

// refuseRound ends the wait of a ticket for another round. Its calls go on, and it declares
// nothing any more.
func (m *Machine) refuseRound(t *ticket) {
	t.granted, t.renews, t.hold, t.spoiled = true, false, false, true
	m.emit(Done{Ticket: t.id, Err: ErrBusy})
	m.wake(t.repo)
}
