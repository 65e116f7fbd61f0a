package ledger

import (
	"context"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// Guard is the repair lock of one repository in the hands of one repair. It belongs
// to the repair's goroutine.
type Guard struct {
	ledger      *Ledger
	id          machine.ID
	invalidated chan struct{} // closed by the first write that passed in this round; guarded by Ledger.mu
	answer      chan answer   // holds 1; made for each question; guarded by Ledger.mu
	openedAt    time.Time
}

// answer is a Done, and when it was given.
type answer struct {
	machine.Done
	wall time.Time
}

// LockForRepair takes the repair lock of a repository. With pause=false it fails with ErrRepositoryBusy
// while a write is in flight, and writes that begin later invalidate the guard;
// with pause=true new writes wait and LockForRepair returns when the ones in flight
// have ended. There is one guard a repository. The caller calls Free.
//
// It is busy, too, while something ended without account and the intent over it
// is not yet in doubt for all to see, and while this instance has no lease.
func (l *Ledger) LockForRepair(ctx context.Context, key state.Key, pause bool) (*Guard, error) {
	t := &Guard{ledger: l, invalidated: make(chan struct{})}
	l.mu.Lock()
	l.lastID++
	t.id = l.lastID
	l.guards[t.id] = t
	l.mu.Unlock()
	if _, err := t.ask(ctx, machine.Acquire{Guard: t.id, Key: key, Pause: pause}); err != nil {
		t.Free(true)
		return nil, err
	}
	return t, nil
}

// ask waits for the answer of the machine to e.
func (t *Guard) ask(ctx context.Context, e machine.Event) (answer, error) {
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

// done is the message of the machine to a guard. Caller holds mu.
func (t *Guard) done(d machine.Done, wall time.Time) {
	if t.answer != nil {
		t.answer <- answer{d, wall}
		t.answer = nil
	}
}

// Invalidated is closed when a write began that this round of the guard did not keep waiting.
func (t *Guard) Invalidated() <-chan struct{} {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	return t.invalidated
}

// Renew begins another round under the same intent, as LockForRepair begins the first, and returns its
// number. Calls of former rounds may go on, but their results are declared in none.
func (t *Guard) Renew(ctx context.Context, pause bool) (round int, err error) {
	a, err := t.ask(ctx, machine.Renew{Guard: t.id, Pause: pause})
	return a.Round, err
}

// Resume lets the writes go on that a pausing guard keeps waiting; they invalidate
// it. It may be called at any time, by any goroutine.
func (t *Guard) Resume() { t.ledger.tell(machine.Resume{Guard: t.id}) }

// Wish asks every other instance to let this repair have its turn, for bound at most, and
// returns when none of them has a live intent on the repository any more.
func (t *Guard) Wish(ctx context.Context, bound time.Duration) error {
	_, err := t.ask(ctx, machine.Wish{Guard: t.id, Bound: bound})
	return err
}

// OpenIntent makes the instance's intent live and wide enough for scope. The view that
// it returns is at or after the intent; from here on the replicas may be changed
// within scope.
func (t *Guard) OpenIntent(ctx context.Context, scope state.Scope) (*state.State, error) {
	return t.open(ctx, machine.OpenIntent{Guard: t.id, Scope: scope}, "repair-after-open")
}

// Advance gives the repository's primary the role of a target: this instance's intent
// covers scope, and no instance writes to the repository until EndAdvance. Without a
// source it takes up an advance that was interrupted. It returns as OpenIntent does.
func (t *Guard) Advance(ctx context.Context, source string, scope state.Scope) (*state.State, error) {
	return t.open(ctx, machine.Advance{Guard: t.id, Source: source, Scope: scope}, "advance-after-open")
}

func (t *Guard) open(ctx context.Context, e machine.Event, failpoint string) (*state.State, error) {
	a, err := t.ask(ctx, e)
	if err != nil {
		return nil, err
	}
	t.openedAt = a.wall
	t.ledger.cfg.Failpoint(failpoint)
	return a.View, nil
}

// OpenedAt dates the calls that the repair sends to change a replica: when the lease was
// looked at, after the intent.
func (t *Guard) OpenedAt() time.Time { return t.openedAt }

// Free gives the repair lock back. arrived tells that every RPC of the repair has
// ended at its storage; otherwise the intent ends in doubt.
func (t *Guard) Free(arrived bool, doubtful ...string) {
	t.ledger.mu.Lock()
	defer t.ledger.mu.Unlock()
	delete(t.ledger.guards, t.id)
	t.ledger.step(machine.Free{Guard: t.id, Arrived: arrived, Doubtful: doubtful})
}
