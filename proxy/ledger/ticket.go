package ledger

import (
	"context"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// Resolution is what a repair found about the in-doubt intents of its repository.
type Resolution = machine.Resolution

// Ticket is the gate of one repository in the hands of one repair. It belongs
// to the repair's goroutine.
type Ticket struct {
	ledger   *Ledger
	id       machine.ID
	spoiled  chan struct{} // closed by the first write that passed in this round; guarded by Ledger.mu
	answer   chan answer   // holds 1; made for each question; guarded by Ledger.mu
	openedAt time.Time
}

// answer is a Done, and when it was given.
type answer struct {
	machine.Done
	wall time.Time
}

// Repair takes the gate of a repository. With hold=false it fails with ErrBusy
// while a write is in flight, and writes that begin later spoil the ticket;
// with hold=true new writes wait and Repair returns when the ones in flight
// have ended. There is one ticket a repository. The caller calls Release.
//
// It is busy, too, while something ended without account and the intent over it
// is not yet in doubt for all to see, and while this instance has no lease.
func (l *Ledger) Repair(ctx context.Context, key state.Key, hold bool) (*Ticket, error) {
	t := &Ticket{ledger: l, spoiled: make(chan struct{})}
	l.mu.Lock()
	l.lastID++
	t.id = l.lastID
	l.tickets[t.id] = t
	l.mu.Unlock()
	if _, err := t.ask(ctx, machine.Take{Ticket: t.id, Key: key, Hold: hold}); err != nil {
		t.Release(true)
		return nil, err
	}
	return t, nil
}

// ask waits for what the machine answers to e.
func (t *Ticket) ask(ctx context.Context, e machine.Event) (answer, error) {
	pending := make(chan answer, 1)
	t.ledger.mu.Lock()
	t.answer = pending
	t.ledger.step(e)
	t.ledger.mu.Unlock()
	select {
	case a := <-pending:
		return a, a.Err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// done is what the machine says to a ticket. Caller holds mu.
func (t *Ticket) done(d machine.Done, wall time.Time) {
	if t.answer != nil {
		t.answer <- answer{d, wall}
		t.answer = nil
	}
}

// Spoiled is closed when a write began that this round of the ticket did not keep waiting.
func (t *Ticket) Spoiled() <-chan struct{} {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return t.spoiled
}

// Renew begins another round under the same intent, as Repair begins a repair, and returns its
// number. Calls of former rounds may go on, but what they made is declared in none.
func (t *Ticket) Renew(ctx context.Context, hold bool) (round int, err error) {
	a, err := t.ask(ctx, machine.Renew{Ticket: t.id, Hold: hold})
	return a.Round, err
}

// Unhold lets the writes go on that a holding ticket keeps waiting; they spoil
// it. It may be called at any time, by any goroutine.
func (t *Ticket) Unhold() { t.ledger.tell(machine.Unhold{Ticket: t.id}) }

// Wish asks every other instance to let this repair have its turn, for bound at most, and
// returns when none of them has a live intent on the repository any more.
func (t *Ticket) Wish(ctx context.Context, bound time.Duration) error {
	_, err := t.ask(ctx, machine.Wish{Ticket: t.id, Bound: bound})
	return err
}

// OpenIntent makes the instance's intent live and wide enough for scope. The view that
// it returns is at or after the intent; from here on the replicas may be changed
// within scope.
func (t *Ticket) OpenIntent(ctx context.Context, scope state.Scope) (*state.State, error) {
	a, err := t.ask(ctx, machine.OpenIntent{Ticket: t.id, Scope: scope})
	if err != nil {
		return nil, err
	}
	t.openedAt = a.wall
	t.ledger.cfg.Step("repair-after-open")
	return a.View, nil
}

// OpenedAt dates what the repair sends to change a replica: when the lease was
// looked at, after the intent.
func (t *Ticket) OpenedAt() time.Time { return t.openedAt }

// MarkInSync commits that storages are equal to the primary, as of the intent: their copies
// began in the round, 0 before the first Renew. No write of this instance is in flight
// meanwhile, and none starts before Release, which closes the intent at once.
func (t *Ticket) MarkInSync(ctx context.Context, round int, storages []string) error {
	return t.verdict(ctx, machine.Declare{Ticket: t.id, Round: round, Storages: storages})
}

// ResolveDoubt commits a resolution as of the intent. What this ticket declares
// afterwards speaks of the index at which that was applied.
func (t *Ticket) ResolveDoubt(ctx context.Context, s Resolution) error {
	return t.verdict(ctx, machine.ResolveDoubt{Ticket: t.id, Resolution: s})
}

// MarkDoubt commits that replicas differ from the primary's and that the ledger had no reason
// for it, as of the intent.
func (t *Ticket) MarkDoubt(ctx context.Context, primary string, differences []state.Difference) error {
	return t.verdict(ctx, machine.MarkDoubt{Ticket: t.id, Primary: primary, Differences: differences})
}

func (t *Ticket) verdict(ctx context.Context, e machine.Event) error {
	t.ledger.cfg.Step("repair-before-verdict")
	if _, err := t.ask(ctx, e); err != nil {
		return err
	}
	t.ledger.cfg.Step("repair-after-verdict")
	return nil
}

// Release gives the gate back. arrived tells that every RPC of the repair has
// ended at its storage; otherwise the intent ends in doubt.
func (t *Ticket) Release(arrived bool, doubtful ...string) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	delete(t.ledger.tickets, t.id)
	t.ledger.step(machine.Release{Ticket: t.id, Arrived: arrived, Doubtful: doubtful})
}
