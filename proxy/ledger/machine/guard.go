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

// acquire grants the repair lock, or refuses it. It is busy, too, while something ended
// without account and the intent over it is not yet in doubt for all to see: a late
// effect of that must not meet a copy which does not know of it. A repair is a
// write of its kind, and needs a lease as one.
func (m *Machine) acquire(e Acquire) {
	if m.stopped || m.retired {
		m.emit(Done{Guard: e.Guard, Err: ErrStopping})
		return
	}
	r := m.get(e.Key)
	m.queueFlush(r)
	if r.guard != nil || r.inDoubt || !e.Pause && r.writes > 0 || !m.mayRoute() {
		m.emit(Done{Guard: e.Guard, Err: ErrRepositoryBusy})
		return
	}
	t := &guard{id: e.Guard, repo: r, pause: e.Pause}
	m.guards[t.id], r.guard = t, t
	m.unpark(r)
	m.resumeWaiters(r)
}

// serveGuard lets a guard go on that waits for its repository.
func (m *Machine) serveGuard(t *guard) {
	switch {
	case t.granted || t.repo.writes > 0:
	case t.repo.inDoubt && t.renews:
		m.refuseRound(t)
		return
	case t.repo.inDoubt:
		// ▲ machine-repair-beside-doubt: One of the writes that it waited for ended without full
		// account. Its effect may come at the source of a copy after the copy, unseen.
		delete(m.guards, t.id)
		t.repo.guard = nil
		m.emit(Done{Guard: t.id, Err: ErrRepositoryBusy})
		return
	case t.renews:
		m.nextRound(t)
	default:
		t.granted = true
		m.emit(Done{Guard: t.id})
	}
	if next := t.next; next != nil && !t.repo.busy {
		t.next = nil
		next()
	}
}

// ask runs next when no proposal touches the repository of the guard.
func (m *Machine) ask(id ID, next func(*guard)) {
	t := m.guards[id]
	if t == nil || !t.granted {
		m.emit(Done{Guard: id, Err: ErrRepositoryBusy})
		return
	}
	t.next = func() { next(t) }
	m.resumeWaiters(t.repo)
}

// done answers a guard that still cares.
func (m *Machine) done(t *guard, view *state.State, err error) {
	if m.guards[t.id] == t {
		m.emit(Done{Guard: t.id, View: view, At: m.now, Err: err})
	}
}

func (m *Machine) openForRepair(e OpenIntent) {
	m.ask(e.Guard, func(t *guard) {
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

// answerIntent answers an OpenIntent. The conclusions of the repair speak of this view: if a
// command changes the entry after it, the conclusion is refused. (▲ machine-conclusion-of-later)
func (m *Machine) answerIntent(t *guard) {
	if entry := m.view.Entry(t.repo.key); entry != nil {
		t.asOf = entry.Changed
	}
	if !m.mayRoute() {
		m.done(t, nil, ErrRepositoryBusy)
		return
	}
	m.done(t, m.view, nil)
}

func (m *Machine) declare(e Declare) {
	if t := m.guards[e.Guard]; t != nil && e.Round != t.round { // ▲ machine-declares-former-round: see renew
		m.emit(Done{Guard: e.Guard, Err: ErrInvalidated})
		return
	}
	m.commitConclusion(e.Guard, func(t *guard) state.Command {
		return state.Command{MarkInSync: &state.MarkInSync{Key: t.repo.key, Storages: slices.Clone(e.Storages), AsOf: t.asOf}}
	})
}

func (m *Machine) resolveDoubt(e ResolveDoubt) {
	m.commitConclusion(e.Guard, func(t *guard) state.Command {
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
func (m *Machine) commitConclusion(id ID, command func(*guard) state.Command) {
	if t := m.guards[id]; t != nil && t.granted && !t.invalidated {
		t.sealed = true
	}
	m.ask(id, func(t *guard) {
		if t.invalidated {
			m.done(t, nil, ErrInvalidated)
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
			// view with the conclusion in it, and invalidate later conclusions of the guard.
			t.sealed = false
			m.resumeWaiters(t.repo)
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

func (m *Machine) resume(id ID) {
	t := m.guards[id]
	if t == nil || !t.pause {
		return
	}
	t.pause = false
	m.resumeWaiters(t.repo)
}

func (m *Machine) free(e Free) {
	t := m.guards[e.Guard]
	if t == nil {
		return
	}
	delete(m.guards, e.Guard)
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
	m.unwish(t)
	m.resumeWaiters(r)
}
