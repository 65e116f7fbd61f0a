package ledger

import (
	"context"
	"slices"

	"praefect/fsm/state"
)

// Ticket is the gate of one repository in the hands of one repair. It belongs
// to the repair's goroutine.
type Ticket struct {
	ledger  *Ledger
	repo    *repo
	spoiled chan struct{} // closed by the first write that passed; under Ledger.mu

	// guarded by Ledger.mu
	done     chan struct{} // closed by Unhold and Release: held writes look again
	hold     bool          // new writes wait
	sealed   bool          // new writes wait because a verdict is being committed
	isSpoilt bool

	// asOf is the index that the verdicts of this repair speak of, and inSync
	// tells that one was given; both belong to the repair's goroutine.
	asOf   state.Index
	inSync bool
}

// Settlement is what a repair found about the dirty marks of its repository.
type Settlement struct {
	Marks        []state.DirtyRef
	Authority    string
	PrimaryLacks bool
	Equal        []string
}

// Repair takes the gate of a repository. With hold=false it fails with ErrBusy
// while a write is in flight, and writes that begin later spoil the ticket;
// with hold=true new writes wait and Repair returns when the ones in flight
// have ended. There is one ticket a repository. The caller calls Release.
//
// It is busy, too, while something ended without account and the mark over it
// is not yet dirty for all to see: a late effect of that must not meet a copy
// which does not know of it.
func (l *Ledger) Repair(ctx context.Context, key state.Key, hold bool) (*Ticket, error) {
	l.mu.Lock()
	r := l.get(key)
	if r.ticket != nil || r.dirty || !hold && r.writes > 0 {
		l.mu.Unlock()
		return nil, ErrBusy
	}
	t := &Ticket{ledger: l, repo: r, spoiled: make(chan struct{}), done: make(chan struct{}), hold: hold}
	r.ticket = t
	l.stir(r)
	var drained chan struct{}
	if r.writes > 0 {
		drained = make(chan struct{})
		r.drained = drained
	}
	l.mu.Unlock()

	if drained != nil {
		select {
		case <-drained:
		case <-ctx.Done():
			l.mu.Lock()
			r.drained = nil
			l.mu.Unlock()
			t.Release(true)
			return nil, ctx.Err()
		}
	}
	return t, nil
}

// admit lets a write pass, or returns what it must wait for. Caller holds mu;
// t may be nil.
func (t *Ticket) admit() <-chan struct{} {
	switch {
	case t == nil:
		return nil
	case t.hold || t.sealed:
		return t.done
	case !t.isSpoilt:
		t.isSpoilt = true
		close(t.spoiled)
	}
	return nil
}

// Spoiled is closed when a write began that this ticket did not keep waiting.
func (t *Ticket) Spoiled() <-chan struct{} { return t.spoiled }

// Unhold lets the writes go on that a holding ticket keeps waiting; they spoil
// it. It may be called at any time, by any goroutine.
func (t *Ticket) Unhold() {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	if t.hold && t.repo.ticket == t {
		t.hold = false
		if !t.sealed {
			close(t.done)
			t.done = make(chan struct{})
		}
	}
}

// Mark makes the instance's mark live and wide enough for scope. The view that
// it returns is at or after the mark; from here on the replicas may be changed
// within scope.
func (t *Ticket) Mark(ctx context.Context, scope state.Scope) (*state.State, error) {
	view, err := t.ledger.mark(ctx, []*repo{t.repo}, scope, func(*state.State, bool) []state.Command { return nil })
	if err != nil {
		return nil, err
	}
	if entry := view.Entry(t.repo.key); entry != nil {
		t.asOf = entry.Changed
	}
	t.ledger.cfg.Step("repair-after-open")
	return view, nil
}

// InSync commits that storages are equal to the primary, as of the mark. No
// write of this instance is in flight meanwhile, and none starts before
// Release, which closes the mark at once.
func (t *Ticket) InSync(ctx context.Context, storages []string) error {
	index, err := t.verdict(ctx, state.Command{InSync: &state.InSync{
		Key: t.repo.key, Storages: slices.Clone(storages), AsOf: t.asOf,
	}})
	t.inSync = err == nil
	t.asOf = max(t.asOf, index)
	return err
}

// Settle commits a settlement as of the mark. What this ticket declares
// afterwards speaks of the index at which that was applied.
func (t *Ticket) Settle(ctx context.Context, s Settlement) error {
	index, err := t.verdict(ctx, state.Command{Settle: &state.Settle{
		Key: t.repo.key, Marks: slices.Clone(s.Marks), Authority: s.Authority,
		PrimaryLacks: s.PrimaryLacks, Equal: slices.Clone(s.Equal), AsOf: t.asOf,
	}})
	t.asOf = max(t.asOf, index)
	return err
}

// verdict commits cmd while new writes wait, from here to Release; it fails if
// one passed before.
func (t *Ticket) verdict(ctx context.Context, cmd state.Command) (state.Index, error) {
	t.ledger.mu.Lock()
	spoilt := t.isSpoilt
	t.sealed = !spoilt
	t.ledger.mu.Unlock()
	if spoilt {
		return 0, ErrSpoiled
	}
	t.ledger.cfg.Step("repair-before-verdict")
	results, err := t.ledger.node.Propose(ctx, cmd)
	if err != nil {
		return 0, err
	}
	if refusal := results[0].Refusal; refusal != nil {
		return 0, refusal
	}
	t.ledger.cfg.Step("repair-after-verdict")
	return results[0].Index, nil
}

// Release gives the gate back. ended tells that every RPC of the repair has
// ended at its storage; otherwise the mark ends dirty.
func (t *Ticket) Release(ended bool) {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	r := t.repo
	r.ticket = nil
	r.dirty = r.dirty || !ended && r.live
	close(t.done)
	l.settleDown(r, t.inSync)
}
