package machine

// phase is where a write is in its life. The function of a phase takes the write as far as it gets
// and returns the next phase, or the same one while the write waits.
type phase int

const (
	// pass is no phase: a check returns it that does not keep the write.
	pass phase = iota
	// admitting: it waits for its Forward, for the first time or after NotSent.
	admitting
	// abandoned: its client went away while its proposal was under way.
	abandoned
	// sent: forwarded, with no Vote to answer.
	sent
	// voting: forwarded, and a Vote has no answer yet.
	voting
	// accounting: it has succeeded, and must yet be accounted for.
	accounting
	// cleared: as accounting, and it has tried to take a delete back.
	cleared
	// over: it was rejected, finished or given up.
	over
)

func (p phase) forwarded() bool { return p == sent || p == voting }

// succeeded tells that the RPC has ended well, and its status is not passed on yet.
func (p phase) succeeded() bool { return p == accounting || p == cleared }

// effect is what votes may have led to.
type effect int

const (
	noEffect effect = iota // no vote was allowed
	harmless               // the storages change nothing before they vote again
	possible
)

// advance takes a write as far as it gets, phase by phase: to its Forward, to a proposal, to
// something that it must wait for, or to its end.
func (ws *writes) advance(w *write) {
	for next := ws.step(w); next != w.phase; next = ws.step(w) {
		ws.enter(w, next)
	}
}

func (ws *writes) step(w *write) phase {
	switch w.phase {
	case admitting:
		return ws.admit(w)
	case voting:
		return ws.decide(w)
	case accounting, cleared:
		return ws.conclude(w)
	}
	return w.phase // an event takes it on
}

// enter has a write in another phase. One that is over is forgotten.
func (ws *writes) enter(w *write, next phase) {
	ws.tally(w, -1)
	w.phase = next
	ws.tally(w, 1)
	if next != over {
		return
	}
	ws.leave(w)
	ws.unregister(w)
	if w.changed {
		ws.emit(Behind{Keys: w.keys})
	}
	delete(ws.all, w.id)
}

// tally adds n to the figure in which the write counts, for the pauses: of the writes in flight,
// or of the ones that were sent and have had no vote decided. After a promotion these go on with
// the new primary, so that no pause waits for them; but a storage that leaves takes the writes with
// it whose client gets its status.
func (ws *writes) tally(w *write, n int) {
	switch {
	case w.registered:
		w.repos[0].counts.inFlight += n
	case w.route.Votes && (w.phase.forwarded() || w.phase.succeeded()):
		ws.preparing[storageName{w.keys[0].VirtualStorage, w.first}] += n
	}
}
