package machine

import (
	"container/list"
	"slices"
	"time"

	"praefect/fsm/state"
)

// repo holds the work of this instance on one repository.
type repo struct {
	key     state.Key
	counts  *counts // of its virtual storage
	writes  int     // registered ones
	deletes int     // the deletes among them
	guard   *guard  // the repair that has the repair lock, or waits for it
	// busy is true while a proposal of ours touches the repository: the next
	// one waits for its answer.
	busy bool
	// waiters wait for the repair lock or for the answer, in the order in which they came.
	waiters []*write

	live        bool        // our intent is in the replicated state, or may be
	unsure      bool        // it may also not be: nothing may rely on it
	scope       state.Scope // the scope that the intent has for certain
	primaryOnly bool        // so does it writes that do not vote
	openedAt    state.Index // where it was last opened or widened
	inDoubt     bool        // something under it ended without full account
	// doubt is the scope of its possible changes, which may be less than that of the intent: a
	// write that ended with full account leaves no doubt. nil: nothing, but the intent may be there
	// or not.
	doubt *state.Scope
	// aloneAt is when the last write ended that does not vote.
	aloneAt time.Duration
	// distrusted is true from the proposal of a repair's conclusion until a
	// `wrote` of ours was applied after it: the conclusion may take back the entries of storages
	// that are behind.
	distrusted bool

	idle    *list.Element // its place in lingering
	since   time.Duration // when it became idle
	prompt  bool          // its intent is not to linger
	retryAt time.Duration // when to close it again, after a close without answer
	queued  bool          // in Machine.toFlush
	resumed bool          // and the writes that wait for it may go on
	counted bool          // in counts.intents
}

// due is when the idle intent is to be closed.
func (r *repo) due(linger time.Duration) time.Duration {
	if r.retryAt > 0 {
		return r.retryAt
	}
	if r.prompt || r.inDoubt {
		return 0
	}
	return r.since + linger
}

// get returns the record of a repository, made if need be. The caller that makes it queues a flush
// of it, or keeps it busy.
func (m *Machine) get(key state.Key) *repo {
	r := m.repos[key]
	if r == nil {
		r = &repo{key: key, counts: m.countsOf(key.VirtualStorage)}
		m.repos[key] = r
	}
	return r
}

// serve lets the repair and the writes go on that wait for the repository.
func (m *Machine) serve(r *repo) {
	if t := r.guard; t != nil {
		m.serveGuard(t)
	}
	waiters := r.waiters
	r.waiters = nil
	for _, w := range waiters {
		w.at = nil
		m.advance(w)
	}
}

// park puts a repository with nothing under way among the lingering ones, or
// forgets it if it has no intent.
func (m *Machine) park(r *repo) {
	m.count(r)
	// Writes that wait for another instance's repair do not keep the intent that it waits for.
	waits := len(r.waiters) > 0 && !(r.live && m.heeded(r.key))
	if r.writes > 0 || r.guard != nil || r.busy || waits || r.idle != nil {
		return
	}
	if !r.live {
		delete(m.repos, r.key)
		return
	}
	r.since = m.now
	r.prompt = r.prompt || m.stopped || m.paused(r.key.VirtualStorage) || m.heeded(r.key)
	// Reads go to the primary while the intent is primary-only. Writes that vote do not
	// need that, and must not keep it for longer than the writes did that do not vote.
	r.prompt = r.prompt || r.primaryOnly && r.retryAt == 0 && m.now-r.aloneAt >= m.cfg.Linger
	if (r.prompt || r.inDoubt) && r.retryAt == 0 { // a repair waits for that close, or a switchover
		r.idle = m.lingering.PushFront(r)
	} else {
		r.idle = m.lingering.PushBack(r)
	}
}

// unpark takes a repository out of the lingering ones.
func (m *Machine) unpark(r *repo) {
	if r.idle != nil {
		m.lingering.Remove(r.idle)
		r.idle, r.prompt, r.retryAt = nil, false, 0
	}
}

// closeEarly closes the idle intents that fn picks, before they have lingered.
func (m *Machine) closeEarly(fn func(*repo) bool) {
	var next *list.Element
	for e := m.lingering.Front(); e != nil; e = next {
		next = e.Next()
		if r := e.Value.(*repo); fn(r) && !r.prompt {
			r.prompt, r.retryAt = true, 0
			m.lingering.MoveToFront(e)
		}
	}
}

// opened notes that an intent of scope was applied at the index, or that it may
// have been (0): then nothing more is certain than before.
func (m *Machine) opened(r *repo, kind state.IntentKind, scope state.Scope, at state.Index) {
	primaryOnly := kind == state.PrimaryOnly
	switch {
	case at == 0:
		r.unsure, r.inDoubt = true, true
	case r.live && !r.unsure:
		r.scope, r.primaryOnly = union(r.scope, scope), r.primaryOnly || primaryOnly
	default:
		r.scope, r.primaryOnly, r.unsure = scope, primaryOnly, false
	}
	r.live = true
	if primaryOnly { // all readers must know of it: they read from the primary then
		r.openedAt = max(r.openedAt, at)
	}
}

// covered tells whether our intent is in the replicated state for certain, and
// covers scope. A proposal without an answer may yet open or close it. (▲ machine-unsure-intent,
// state-mark-behind-without-intent)
func (r *repo) covered(kind state.IntentKind, scope state.Scope) bool {
	return r.live && !r.unsure && (r.primaryOnly || kind == state.Open) && covers(r.scope, scope)
}

// covers tells whether an intent of scope have also stands for want.
func covers(have, want state.Scope) bool {
	if have.BoundMillis < want.BoundMillis || have.RefsOnly && !want.RefsOnly {
		return false
	}
	for _, t := range want.Targets {
		if !slices.Contains(have.Targets, t) {
			return false
		}
	}
	return true
}

// doubted notes that something under the intent ended without full account, within
// scope. ▲ vote-intent-without-targets: Its targets are all that it was ever sent to.
func (r *repo) doubted(scope state.Scope) {
	if !r.live {
		return
	}
	r.inDoubt = true
	if r.doubt != nil {
		scope = union(*r.doubt, scope)
	}
	r.doubt = &scope
}

// union is the scope of an intent after it was widened, as the replicated state
// computes it.
func union(a, b state.Scope) state.Scope {
	targets := slices.Concat(a.Targets, b.Targets)
	slices.Sort(targets)
	return state.Scope{
		BoundMillis: max(a.BoundMillis, b.BoundMillis),
		RefsOnly:    a.RefsOnly && b.RefsOnly,
		Targets:     slices.Compact(targets),
	}
}
