package ledger

import (
	"context"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/ledger/machine"
)

// Request describes a write.
type Request struct {
	// Keys are its repositories, one or two of one virtual storage.
	Keys []state.Key
	// Reads are repositories that it only reads, of the same virtual storage.
	Reads []state.Key
	// Scope bounds its effects; the ledger adds the targets.
	Scope state.Scope
	// Votes is set for a write that can vote: nothing of it happens at a storage
	// before Write.Vote has allowed a vote.
	Votes bool
	// Deletes is set for a write that removes its repository. It does not vote.
	Deletes bool
	// Bytes is the size of its first message.
	Bytes int
	// Doom ends its RPC, for a reason; its End must be called all the same. It
	// must not block.
	Doom func(error)
	// Drop ends its RPC at one of Route.Others, for a reason. It must not block. It
	// may be nil if the write cannot vote.
	Drop func(storage string, why error)
}

// Route is where a write goes, and over which connection.
type Route struct {
	// Storage is the primary.
	Storage string
	// Generation names the connection: another one must not be used.
	Generation uint64
	// Votes tells that the destinations are to vote; Others are the destinations beside the
	// primary. A write that does not vote has none.
	Votes  bool
	Others []machine.Destination
	// At dates the calls of the write: when the lease was looked at.
	At time.Time

	try int // NotSent and Again begin another one
}

// Write is one write in flight, on one repository or on two of one virtual
// storage. It belongs to the goroutine of its request, but for Vote.
type Write struct {
	ledger *Ledger
	id     machine.ID
	ended  func(error)         // Request.Doom
	drop   func(string, error) // Request.Drop
	// voted gets the answer to a Vote, one at a time; guarded by Ledger.mu.
	voted chan error // holds 1

	// The last answer of the machine; guarded by Ledger.mu until answered.
	answered bool
	route    Route
	try      int
	err      error
	answer   chan struct{} // closed when answered, if a caller waits
	waited   bool          // it was queued, and counts as waiting
}

// Begin lets a write pass: when it returns, the write is in flight, its intent and
// account are in the ledger, every instance that may read knows of them, and it may be
// sent along Route. Until then it waits: for a repair of the repository, for a
// primary, for a lease. An error means that the write ended without any effect:
// one of package machine, a *router.Refusal, a *state.Refusal, or that of ctx.
//
// The caller calls End, NotSent or Again exactly once for each nil error.
func (l *Ledger) Begin(ctx context.Context, r Request) (*Write, error) {
	w := &Write{ledger: l, ended: r.Doom, drop: r.Drop}
	l.mu.Lock()
	l.lastID++
	w.id = l.lastID
	l.writes[w.id] = w
	l.step(machine.Begin{Write: w.id, Keys: r.Keys, Reads: r.Reads, Scope: r.Scope, Votes: r.Votes, Deletes: r.Deletes, Bytes: r.Bytes})
	if err := w.await(ctx); err != nil {
		return nil, err
	}
	l.cfg.Failpoint("after-wrote")
	return w, nil
}

// Route is where the write may be sent.
func (w *Write) Route() Route { return w.route }

// NotSent says that the connection of Route is gone, and that nothing was sent, or
// no vote was allowed. It waits for another route, as Begin does.
func (w *Write) NotSent(ctx context.Context) error {
	return w.retry(ctx, machine.NotSent{Write: w.id})
}

// Again says that the primary has ended the call, that no vote was allowed, and that the
// write is to be sent again. It waits for a route, as Begin does.
func (w *Write) Again(ctx context.Context) error {
	return w.retry(ctx, machine.NotSent{Write: w.id, Connected: true})
}

func (w *Write) retry(ctx context.Context, e machine.NotSent) error {
	w.ledger.mu.Lock()
	w.answered = false
	w.try++
	w.ledger.step(e)
	return w.await(ctx)
}

// Vote asks that the votes of the storages that agree, the primary among them, be
// allowed, of a write that was sent along the route: with nil every storage
// else is accounted for, and the votes may be answered. An error says why nothing
// may happen. harmless tells that nothing is changed before the next vote.
// The answer waits in the channel already if the ledger needs no change. It comes
// at once when the write ends. There is one question at a time, by any goroutine.
func (w *Write) Vote(along Route, agreeing []string, harmless bool) <-chan error {
	voted := make(chan error, 1)
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	// A late caller must not speak for the try that has come instead.
	if w.ledger.writes[w.id] != w || w.try != along.try {
		voted <- ErrEnded
		return voted
	}
	w.voted = voted
	w.ledger.step(machine.Vote{Write: w.id, Agreeing: agreeing, Harmless: harmless})
	return voted // every wait of the machine has an end
}

// End ends a write. succeeded tells that the primary's status was OK, arrived
// that the status came from every storage at which something may have happened,
// or that the write was never sent: otherwise an effect may still come, and the
// intents end in doubt. agreeing are the destinations of a write that votes which did
// as the primary did. If it returns an error the client gets that, and must not
// get the status. It may wait, for a moment, for the entries that have to be in the ledger
// before the client knows.
func (w *Write) End(succeeded, arrived bool, agreeing ...string) error {
	w.ledger.mu.Lock()
	w.answered = false
	w.ledger.step(machine.Ended{Write: w.id, Succeeded: succeeded, Arrived: arrived, Agreeing: agreeing})
	return w.await(context.Background()) // every proposal has an end
}

// await waits for the answer of the machine about the write. Caller holds mu, which is
// given up.
func (w *Write) await(ctx context.Context) error {
	l := w.ledger
	if w.answered {
		err := w.err
		l.mu.Unlock()
		return err
	}
	answer := make(chan struct{})
	w.answer = answer
	l.mu.Unlock()
	select {
	case <-answer:
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if !w.answered { // what the machine hears with this may let it pass, or end it
			l.step(machine.Cancel{Write: w.id})
		}
		switch {
		case !w.answered:
			w.over(ctx.Err())
		case w.err == nil: // it may pass, and its caller is gone
			l.step(machine.Ended{Write: w.id, Arrived: true})
			w.err = ctx.Err()
		}
	}
	return w.err
}

// pass, queued, reject, doom, dropped, allowed and over are the answers of the machine about a write.
// Caller holds mu.

func (w *Write) pass(f machine.Forward, wall time.Time) {
	w.route = Route{Storage: f.Storage, Generation: f.Generation, Votes: f.Votes, Others: f.Others, At: wall, try: w.try}
	w.settle(nil)
	if w.waited {
		w.ledger.cfg.Metrics.allowed.Inc()
	}
	w.leave()
}

func (w *Write) queued(why machine.Why) {
	w.waited = true
	w.ledger.cfg.Metrics.queued.WithLabelValues(string(why)).Inc()
	w.ledger.cfg.Metrics.waiting.Inc()
}

func (w *Write) reject(r machine.Reject) {
	if w.waited || r.Why != "" {
		w.ledger.cfg.Metrics.evicted.WithLabelValues(string(r.Why)).Inc()
	}
	w.over(r.Err)
}

func (w *Write) doom(err error) {
	w.ledger.cfg.Metrics.doomed.Inc()
	if w.ended != nil {
		w.ended(err)
	}
}

func (w *Write) dropped(d machine.Drop) {
	if w.drop != nil {
		w.drop(d.Storage, d.Err)
	}
}

func (w *Write) allowed(err error) {
	w.voted <- err
	w.voted = nil
}

// over ends the write with err.
func (w *Write) over(err error) {
	w.leave()
	delete(w.ledger.writes, w.id)
	w.settle(err)
}

// leave has the write count as waiting no longer.
func (w *Write) leave() {
	if w.waited {
		w.waited = false
		w.ledger.cfg.Metrics.waiting.Dec()
	}
}

// settle answers the waiting caller.
func (w *Write) settle(err error) {
	w.answered, w.err = true, err
	if w.answer != nil {
		close(w.answer)
		w.answer = nil
	}
}
