package ledger

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
)

// Node is what the ledger needs of the consensus node. Propose returns when the
// local view has applied the commands; its results are in their order.
type Node interface {
	View() *state.State
	Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error)
}

// Config sets the ledger's times and bounds.
type Config struct {
	// Linger is how long a mark is kept after the last write under it.
	Linger time.Duration
	// HoldTimeout is how long a write waits at most for the gate.
	HoldTimeout time.Duration
	// HoldLimit is how many writes may wait for gates at once.
	HoldLimit int
	// Step, if set, is called after each step of a write or repair with the
	// step's name; crash tests end the process there.
	Step func(name string)
}

// Errors of writes and repairs. Refusals of the replicated state come as
// *state.Refusal.
var (
	// ErrHeld ends a write that waited too long, or among too many, for a
	// repair to let go of the repository. Nothing was done.
	ErrHeld = errors.New("repository is held for a repair; try again")
	// ErrBusy refuses a repair: another one, or a write, is under way.
	ErrBusy = errors.New("repository is busy")
	// ErrSpoiled ends a repair during which a write began.
	ErrSpoiled = errors.New("a write began during the repair")
)

// Ledger is safe for use by any number of goroutines. Run owns its only one.
type Ledger struct {
	node Node
	cfg  Config
	wake chan struct{} // holds 1: Run looks at lingering again

	mu    sync.Mutex
	repos map[state.Key]*repo // guarded by mu
	held  int                 // writes waiting for a gate; guarded by mu
	// lingering holds the *repo with an idle mark, the longest idle first;
	// guarded by mu.
	lingering *list.List
}

// repo is what this instance has under way on one repository. All of it is
// guarded by Ledger.mu.
type repo struct {
	key    state.Key
	writes int     // begun and not ended
	ticket *Ticket // the repair that holds the gate
	// drained is closed when writes reaches 0; a holding ticket waits for it.
	drained chan struct{}

	live  bool        // our mark is in the replicated state
	scope state.Scope // what that mark covers
	dirty bool        // something under it ended without full account
	// closing is closed when the close that was proposed has an answer; nil
	// while none is under way.
	closing chan struct{}
	idle    *list.Element // its place in lingering
	since   time.Time     // when it became idle
}

// New makes a ledger over node. Run must be running while it is used.
func New(node Node, cfg Config) *Ledger {
	if cfg.Step == nil {
		cfg.Step = func(string) {}
	}
	return &Ledger{
		node:      node,
		cfg:       cfg,
		wake:      make(chan struct{}, 1),
		repos:     make(map[state.Key]*repo),
		lingering: list.New(),
	}
}

// InFlight counts the writes begun and not ended, and the marks kept.
func (l *Ledger) InFlight() (writes, marks int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.repos {
		writes += r.writes
		if r.live {
			marks++
		}
	}
	return writes, marks
}

// get returns the record of a repository, made if need be. Caller holds mu.
func (l *Ledger) get(key state.Key) *repo {
	r := l.repos[key]
	if r == nil {
		r = &repo{key: key}
		l.repos[key] = r
	}
	return r
}

// settleDown puts a repository with nothing under way among the lingering
// ones, or forgets it if it has no mark. prompt, or a dirty mark, puts it in
// front: a repair waits for that close. Caller holds mu.
func (l *Ledger) settleDown(r *repo, prompt bool) {
	if r.writes > 0 || r.ticket != nil || r.closing != nil || r.idle != nil {
		return
	}
	switch {
	case !r.live:
		delete(l.repos, r.key)
		return
	case prompt || r.dirty:
		r.since = time.Time{}
		r.idle = l.lingering.PushFront(r)
	default:
		r.since = time.Now()
		r.idle = l.lingering.PushBack(r)
	}
	if l.lingering.Front() != r.idle {
		return // Run sleeps no longer than the first one lets it
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// stir takes a repository out of the lingering ones. Caller holds mu.
func (l *Ledger) stir(r *repo) {
	if r.idle != nil {
		l.lingering.Remove(r.idle)
		r.idle = nil
	}
}

// covers tells whether a mark of scope have also stands for want.
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

// union is the scope of a mark after it was widened, as the replicated state
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
