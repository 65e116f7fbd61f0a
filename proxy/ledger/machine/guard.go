package machine

import (
	"slices"

	"praefect/fsm/repair"
	"praefect/fsm/state"
)

// guard is the repair lock of one repository in the hands of one repair, or a wait
// for it.
type guard struct {
	id          ID
	repo        *repo
	phase       guardPhase
	pause       bool // new writes wait
	round       int  // how often it was renewed
	invalidated bool // a write passed that began after it
	inSync      bool // a storage was declared in sync
	differs     bool // a replica was found different
	advances    bool // it has the primary copied onto: writes wait for its end
	turn        turn

	// scope bounds the changes of the repair.
	scope state.Scope
	// asOf is the index that the conclusions of this repair speak of.
	asOf state.Index
	// next is its request that came while the repository was busy.
	next func()
}

// guardPhase is where a guard is in its life.
type guardPhase int

const (
	waiting  guardPhase = iota // for the writes in flight
	renewing                   // the same, for its next round; calls of the former ones go on
	granted
	sealed // granted, and new writes wait because a conclusion is committed
)

// granted tells whether the guard has the repair lock.
func (t *guard) granted() bool { return t.phase >= granted }

// blocks tells whether new writes wait for the guard, which may be nil.
func (t *guard) blocks() bool { return t != nil && (t.pause || t.phase == sealed) }

// locks has the repair locks, and carries out the repairs' part in the ledger.
type locks struct {
	*facts
	intents *intents
	guards  map[ID]*guard
}

// acquire grants the repair lock, or refuses it. It is busy, too, while something ended
// without account and the intent over it is not yet in doubt for all to see: a late
// effect of that must not meet a copy which does not know of it. A repair is a
// write of its kind, and needs a lease as one.
func (ls *locks) acquire(e Acquire) {
	r := ls.intents.get(e.Key)
	ls.intents.queueFlush(r)
	err := ls.refusal(r, e.Pause)
	if err == nil && r.guard != nil {
		err = repair.ErrRepositoryBusy
	}
	if err != nil {
		ls.emit(Done{Guard: e.Guard, Err: err})
		return
	}
	t := &guard{id: e.Guard, repo: r, pause: e.Pause}
	ls.guards[t.id], r.guard = t, t
	ls.intents.unpark(r)
	ls.intents.resumeWaiters(r)
}

// renew has a repair that was invalidated, or for which there is more to do, begin another round
// under the same intent, while calls of the former rounds go on. It is granted where a new repair
// would be: with Pause new writes wait, and the round waits for the writes in flight.
//
// ▲ machine-declares-former-round: A replica that was copied in a former round is declared in no
// later one: a write may have passed since the copy began, and the entry is judged as of the intent
// of the new round.
func (ls *locks) renew(e Renew) {
	t := ls.guards[e.Guard]
	err := repair.ErrRepositoryBusy
	if t != nil && t.phase == granted && !t.advances {
		err = ls.refusal(t.repo, e.Pause)
	}
	if err != nil {
		ls.emit(Done{Guard: e.Guard, Err: err})
		return
	}
	t.phase, t.pause = renewing, e.Pause
	ls.intents.resumeWaiters(t.repo)
}

// refusal is why no repair, or no other round of one, may wait for the lock of the repository.
func (ls *locks) refusal(r *repo, pause bool) error {
	switch {
	case ls.stopped || ls.retired:
		return ErrStopping
	case r.inDoubt || !pause && r.writes > 0 || !ls.mayRoute():
		return repair.ErrRepositoryBusy
	}
	return nil
}

// serve lets the repair go on that waits for the repository.
func (ls *locks) serve(r *repo) {
	t := r.guard
	switch {
	case t == nil:
		return
	case t.granted() || r.writes > 0:
	case r.inDoubt:
		// ▲ machine-repair-beside-doubt: One of the writes that it waited for ended without full
		// account. Its effect may come at the source of a copy after the copy, unseen.
		ls.emit(Done{Guard: t.id, Err: repair.ErrRepositoryBusy})
		if t.phase == waiting {
			delete(ls.guards, t.id)
			r.guard = nil
			return
		}
		// The calls of the former rounds go on, and the repair declares nothing any more.
		t.phase, t.pause, t.invalidated = granted, false, true
		ls.intents.resumeWaiters(r)
		return
	default:
		if t.phase == renewing {
			t.round++
			t.invalidated = false
		}
		t.phase = granted
		ls.emit(Done{Guard: t.id, Round: t.round})
	}
	if next := t.next; next != nil && !r.busy {
		t.next = nil
		next()
	}
}

// invalidate tells the repair that has the lock of the repository that a write passes.
func (ls *locks) invalidate(r *repo) {
	if t := r.guard; t != nil && !t.invalidated {
		t.invalidated = true
		ls.emit(Invalidated{Guard: t.id})
	}
}

// ask runs next when no proposal touches the repository of the guard.
func (ls *locks) ask(id ID, next func(*guard)) {
	t := ls.guards[id]
	if t == nil || !t.granted() {
		ls.emit(Done{Guard: id, Err: repair.ErrRepositoryBusy})
		return
	}
	t.next = func() { next(t) }
	ls.intents.resumeWaiters(t.repo)
}

// done answers a guard that still cares.
func (ls *locks) done(t *guard, view *state.State, err error) {
	if ls.guards[t.id] == t {
		ls.emit(Done{Guard: t.id, View: view, At: ls.now, Err: err})
	}
}

func (ls *locks) resume(id ID) {
	t := ls.guards[id]
	if t == nil || !t.pause {
		return
	}
	t.pause = false
	ls.intents.resumeWaiters(t.repo)
}

func (ls *locks) free(e Free) {
	t := ls.guards[e.Guard]
	if t == nil {
		return
	}
	delete(ls.guards, e.Guard)
	r := t.repo
	r.guard = nil
	if !e.Arrived {
		scope := t.scope
		if e.Doubtful != nil {
			scope.Targets = slices.Sorted(slices.Values(e.Doubtful))
		}
		r.doubted(scope)
	}
	r.prompt = r.prompt || t.inSync || t.advances || t.differs
	ls.unwish(t)
	ls.intents.resumeWaiters(r)
}
