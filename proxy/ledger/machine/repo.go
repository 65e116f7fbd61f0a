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

	intent   intent
	kind     state.IntentKind // the kind and scope that the intent has for certain
	scope    state.Scope
	openedAt state.Index // where it was last opened or widened
	inDoubt  bool        // something under it ended without full account
	// doubt is the scope of its possible changes, which may be less than that of the intent: a
	// write that ended with full account leaves no doubt. nil: nothing, but the intent may be there
	// or not.
	doubt *state.Scope
	// aloneAt is when the last write ended that does not vote.
	aloneAt time.Duration
	// distrusted is true from the proposal of a repair's conclusion until an account of
	// ours was applied after it: the conclusion may take back the entries of storages
	// that are behind.
	distrusted bool

	idle    *list.Element // its place in lingering
	since   time.Duration // when it became idle
	prompt  bool          // its intent is not to linger
	retryAt time.Duration // when to close it again, after a close without answer
	flush   flush
	counted bool // in counts.intents
}

// intent is what this instance knows of its intent on a repository.
type intent int

const (
	absent  intent = iota // it is not in the replicated state, or its close is proposed
	unsure                // it may be there or not: nothing may rely on it
	certain               // it is there
)

// flush is what the Step under way must yet do with a repository.
type flush int

const (
	none  flush = iota
	park        // see whether it is idle
	serve       // let the repair and the writes that wait for it go on, then park
)

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
	switch {
	case at == 0:
		r.intent, r.inDoubt = unsure, true
	case r.intent == certain:
		r.scope = union(r.scope, scope)
		if kind == state.PrimaryOnly {
			r.kind = kind
		}
	default:
		r.intent, r.kind, r.scope = certain, kind, scope
	}
	if kind == state.PrimaryOnly { // all readers must know of it: they read from the primary then
		r.openedAt = max(r.openedAt, at)
	}
}

// covered tells whether our intent is in the replicated state for certain, and
// covers scope. A proposal without an answer may yet open or close it. (▲ machine-unsure-intent,
// state-mark-behind-without-intent)
func (r *repo) covered(kind state.IntentKind, scope state.Scope) bool {
	return r.intent == certain && (r.kind == state.PrimaryOnly || kind == state.Open) && covers(r.scope, scope)
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
	if r.intent == absent {
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
