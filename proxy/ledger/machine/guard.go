package machine

import (
	"slices"

	"praefect/fsm/state"
)

// guard is the repair lock of one repository in the hands of one repair, or a wait
// for it.
type guard struct {
	id          ID
	repo        *repo
	pause       bool // new writes wait
	sealed      bool // new writes wait because a conclusion is committed
	granted     bool
	round       int  // how often it was renewed
	renews      bool // it waits for its next round
	invalidated bool // a write passed that began after it
	inSync      bool // a storage was declared in sync
	// differs tells that a replica was found different.
	differs bool
	// advances tells that it has the primary copied onto: writes wait for its end.
	advances bool

	// wished tells that it asked the other instances for its turn, turn that it waits for it.
	wished, turn bool

	// scope bounds the changes of the repair.
	scope state.Scope
	// asOf is the index that the conclusions of this repair speak of.
	asOf state.Index
	// next is its request that came while the repository was busy.
	next func()
}

// blocks tells whether new writes wait for the guard, which may be nil.
func (t *guard) blocks() bool { return t != nil && (t.pause || t.sealed) }

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
	if ls.stopped || ls.retired {
		ls.emit(Done{Guard: e.Guard, Err: ErrStopping})
		return
	}
	r := ls.intents.get(e.Key)
	ls.intents.queueFlush(r)
	if r.guard != nil || r.inDoubt || !e.Pause && r.writes > 0 || !ls.mayRoute() {
		ls.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	t := &guard{id: e.Guard, repo: r, pause: e.Pause}
	ls.guards[t.id], r.guard = t, t
	ls.intents.unpark(r)
	ls.intents.resumeWaiters(r)
}

// serve lets the repair go on that waits for the repository.
func (ls *locks) serve(r *repo) {
	t := r.guard
	switch {
	case t == nil:
		return
	case t.granted || r.writes > 0:
	case r.inDoubt && t.renews:
		ls.refuseRound(t)
		return
	case r.inDoubt:
		// ▲ machine-repair-beside-doubt: One of the writes that it waited for ended without full
		// account. Its effect may come at the source of a copy after the copy, unseen.
		delete(ls.guards, t.id)
		r.guard = nil
		ls.emit(Done{Guard: t.id, Err: ErrRepositoryBusy})
		return
	case t.renews:
		ls.nextRound(t)
	default:
		t.granted = true
		ls.emit(Done{Guard: t.id})
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
	if t == nil || !t.granted {
		ls.emit(Done{Guard: id, Err: ErrRepositoryBusy})
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

func (ls *locks) openForRepair(e OpenIntent) {
	ls.ask(e.Guard, func(t *guard) {
		r := t.repo
		t.scope = union(t.scope, e.Scope)
		if r.covered(state.Open, e.Scope) {
			ls.answerIntent(t)
			return
		}
		open := &state.OpenIntent{
			VirtualStorage: r.key.VirtualStorage, Paths: []string{r.key.RelativePath}, Kind: state.Open, Scope: e.Scope,
		}
		ls.intents.propose([]*repo{r}, []state.Command{{Open: open}}, func(a Answer) {
			if a.Err != nil {
				r.opened(state.Open, e.Scope, 0)
				ls.done(t, nil, a.Err)
				return
			}
			if refusal := a.Results[0].Refusal; refusal != nil {
				ls.done(t, nil, refusal)
				return
			}
			r.opened(state.Open, e.Scope, a.Results[0].Index)
			ls.answerIntent(t)
		})
	})
}

// answerIntent answers an OpenIntent. The conclusions of the repair speak of this view: if a
// command changes the entry after it, the conclusion is refused. (▲ machine-conclusion-of-later)
func (ls *locks) answerIntent(t *guard) {
	if entry := ls.view.Entry(t.repo.key); entry != nil {
		t.asOf = entry.Changed
	}
	if !ls.mayRoute() {
		ls.done(t, nil, ErrRepositoryBusy)
		return
	}
	ls.done(t, ls.view, nil)
}

func (ls *locks) declare(e Declare) {
	if t := ls.guards[e.Guard]; t != nil && e.Round != t.round { // ▲ machine-declares-former-round: see renew
		ls.emit(Done{Guard: e.Guard, Err: ErrInvalidated})
		return
	}
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{MarkInSync: &state.MarkInSync{Key: t.repo.key, Storages: slices.Clone(e.Storages), AsOf: t.asOf}}
	})
}

func (ls *locks) resolveDoubt(e ResolveDoubt) {
	ls.commitConclusion(e.Guard, func(t *guard) state.Command {
		s := e.Resolution
		return state.Command{ResolveDoubt: &state.ResolveDoubt{
			Key: t.repo.key, Doubts: slices.Clone(s.Doubts), Authority: s.Authority,
			PrimaryLacks: s.PrimaryLacks, Equal: slices.Clone(s.Equal), AsOf: t.asOf,
		}}
	})
}

// commitConclusion commits the finding of a repair. No write of this instance is in flight
// on the repository, and none starts before Free. (▲ machine-conclusion-invalidated,
// machine-write-beside-conclusion)
func (ls *locks) commitConclusion(id ID, command func(*guard) state.Command) {
	if t := ls.guards[id]; t != nil && t.granted && !t.invalidated {
		t.sealed = true
	}
	ls.ask(id, func(t *guard) {
		if t.invalidated {
			ls.done(t, nil, ErrInvalidated)
			return
		}
		cmd := command(t)
		t.repo.distrusted = true
		ls.intents.propose([]*repo{t.repo}, []state.Command{cmd}, func(a Answer) {
			if a.Err != nil {
				// It may yet be applied: before anything is copied again, an intent
				// must be, which comes after it or in its stead.
				t.repo.unsure = true
				ls.done(t, nil, a.Err)
				return
			}
			// A repair may go on for other storages. The writes that begin now go by the
			// view with the conclusion in it, and invalidate later conclusions of the guard.
			t.sealed = false
			ls.intents.resumeWaiters(t.repo)
			if refusal := a.Results[0].Refusal; refusal != nil {
				ls.done(t, nil, refusal)
				return
			}
			t.inSync = cmd.MarkInSync != nil
			t.asOf = max(t.asOf, a.Results[0].Index)
			ls.done(t, nil, nil)
		})
	})
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
