package machine

// renew has a repair that invalidated, or for which there is more to do, begin another round under
// the same intent, while calls of the former rounds go on. It is granted where a new repair
// would be: with Pause new writes wait, and the round waits for the writes in flight.
//
// ▲ machine-declares-former-round: A replica that was copied in a former round is declared in no
// later one: a write may have passed since the copy began, and the entry is judged as of the intent
// of the new round.
func (m *Machine) renew(e Renew) {
	t := m.guards[e.Guard]
	if t == nil || !t.granted || t.sealed || t.advances {
		m.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	r := t.repo
	switch {
	case m.stopped || m.retired:
		m.emit(Done{Guard: e.Guard, Err: ErrStopping})
		return
	case r.inDoubt || !e.Pause && r.writes > 0 || !m.mayRoute():
		m.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	t.granted, t.renews, t.pause = false, true, e.Pause
	m.queueFlush(r)
	m.resumeWaiters(r)
}

// nextRound begins the round that a guard waits for.
func (m *Machine) nextRound(t *guard) {
	t.granted, t.renews, t.invalidated = true, false, false
	t.round++
	m.emit(Done{Guard: t.id, Round: t.round})
}

// refuseRound ends the wait of a guard for another round. Its calls go on, and it declares
// nothing any more.
func (m *Machine) refuseRound(t *guard) {
	t.granted, t.renews, t.pause, t.invalidated = true, false, false, true
	m.emit(Done{Guard: t.id, Err: ErrRepositoryBusy})
	m.resumeWaiters(t.repo)
}
