package machine

// renew has a repair that invalidated, or for which there is more to do, begin another round under
// the same intent, while calls of the former rounds go on. It is granted where a new repair
// would be: with Pause new writes wait, and the round waits for the writes in flight.
//
// ▲ machine-declares-former-round: A replica that was copied in a former round is declared in no
// later one: a write may have passed since the copy began, and the entry is judged as of the intent
// of the new round.
func (ls *locks) renew(e Renew) {
	t := ls.guards[e.Guard]
	if t == nil || t.phase != granted || t.advances {
		ls.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	r := t.repo
	switch {
	case ls.stopped || ls.retired:
		ls.emit(Done{Guard: e.Guard, Err: ErrStopping})
		return
	case r.inDoubt || !e.Pause && r.writes > 0 || !ls.mayRoute():
		ls.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	t.phase, t.pause = renewing, e.Pause
	ls.intents.queueFlush(r)
	ls.intents.resumeWaiters(r)
}

// nextRound begins the round that a guard waits for.
func (ls *locks) nextRound(t *guard) {
	t.phase, t.invalidated = granted, false
	t.round++
	ls.emit(Done{Guard: t.id, Round: t.round})
}

// refuseRound ends the wait of a guard for another round. Its calls go on, and it declares
// nothing any more.
func (ls *locks) refuseRound(t *guard) {
	t.phase, t.pause, t.invalidated = granted, false, true
	ls.emit(Done{Guard: t.id, Err: ErrRepositoryBusy})
	ls.intents.resumeWaiters(t.repo)
}
