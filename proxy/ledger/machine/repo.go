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

// opened notes that an intent of scope was applied at the index, or that it may
// have been (0): then nothing more is certain than before.
func (r *repo) opened(kind state.IntentKind, scope state.Scope, at state.Index) {
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
