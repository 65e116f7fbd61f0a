package proxy

import (
	"cmp"
	"context"
	"math"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/method"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
)

// write forwards a mutator to the repository's primary, and to the others if they
// vote. The order is the promise (P5): in flight, then routed, then covered by an intent, then
// forwarded; each storage that does not have the write is accounted for before it has an effect;
// and the status reaches the client last.
func (s *Server) write(r *request) error {
	// If the client named no deadline the write gets one: the intent records how
	// long an effect may still come.
	ctx, cancel := r.deadline(s.cfg.WriteTimeout)
	defer cancel()
	r.until, _ = ctx.Deadline() // deadline saw to it that there is one
	votes := r.method.VotesOn(r.first.Data()) && !s.cfg.Eventual
	if _, named := r.ctx.Deadline(); votes && !named {
		// ▲ TestVote_endsForLackOfProgress: The bound stays the one for a write that turns out not
		// to vote; for a vote it is another one. A write that votes is ended for lack of progress
		// instead.
		ctx, cancel = context.WithTimeout(r.ctx, max(s.cfg.WriteTimeout, longestWrite))
		defer cancel()
		r.stream = r.progress.stream(r.stream)
		defer r.progress.watch(s.cfg.WriteTimeout, cancel)()
	}
	r.stamp = r.method.Stamp(time.Now())
	if votes {
		pass, err := s.votes.Enter(ctx, r.keys[0], func() bool { return s.hangs(r) })
		if err != nil {
			return err
		}
		defer pass()
	}
	at, err := s.place(ctx, r)
	if err != nil {
		return err
	}
	err = s.enter(ctx, r, at, votes)
	at.leave(err)
	if err != nil && r.progress.stalled.Load() {
		return r.progress.err(s.cfg.WriteTimeout)
	}
	return err
}

// enter enters the write into the ledger and forwards it, again where it could not be sent.
func (s *Server) enter(ctx context.Context, r *request, at *place, votes bool) (err error) {
	var tries tries
	this := tries.next(ctx)
	defer func() { this.cancel(nil) }()
	leave := func() {}
	defer func() { leave() }()
	var w *ledger.Write
	waited := at.wait(func() {
		w, err = s.ledger.Begin(ctx, ledger.Request{
			Keys: r.keys[:1], Reads: r.keys[1:], Scope: r.scope(), Votes: votes, Deletes: r.method.Change == method.ChangeDelete,
			Bytes: r.first.Data().Len(), Doom: tries.doom, Drop: tries.drop,
		})
	})
	for err == nil {
		if waited {
			leave = s.resumed.enter(this.ctx, r.keys[0])
			if late := at.back(ctx); late != nil { // nothing was sent
				return cmp.Or(w.End(false, true), late)
			}
		}
		pass := s.pass
		if w.Route().Votes {
			pass = s.passVoting
		}
		var then step
		if then, err = pass(this, r, w); then == over {
			break
		}
		this = tries.next(ctx)
		retry := w.NotSent
		if then == again {
			retry = w.Again
		}
		leave()
		leave = func() {}
		waited = at.wait(func() { err = retry(ctx) }) || then == elsewhere
	}
	return err
}

// step is the next step after a try to send a write. After all but the first nothing has happened,
// and the client's stream is as it was.
type step int

const (
	over      step = iota // the write has ended
	elsewhere             // its primary is lost
	again                 // its primary may be asked again
)

// pass forwards the write to its primary alone, and ends it unless it could not
// be sent.
func (s *Server) pass(this *try, r *request, w *ledger.Write) (then step, err error) {
	route := w.Route()
	conn := s.routed(r, route.Storage, route.Generation)
	if conn == nil {
		return elsewhere, nil
	}
	r.call.storage = route.Storage
	r.primary.Store(&route.Storage)
	gone, ended := false, false
	end := func(o stream.Outcome) error {
		ended = true
		if o.Ended && o.Err == nil {
			s.failpoint("after-success")
			s.metrics.replicated(replicas{noVotes: max(0, s.storagesOf(r.keys[0].VirtualStorage)-1)})
		}
		err := w.End(o.Ended && o.Err == nil, o.Ended || !o.Sent)
		s.failpoint("after-enqueue")
		s.failpoint("before-status")
		return err
	}
	// ▲ driver-token-dated-late: The token is dated when the lease was looked at: the storage
	// refuses one that is much older, so that a process that is paused here cannot send it late.
	ctx, cancel := context.WithDeadline(storage.WithTokenTime(this.ctx, route.At), r.until) // ▲ vote-intent-without-bound: as the intent says
	defer cancel()
	outcome := s.forward(ctx, r, s.withFailpoint(conn), func(o stream.Outcome) error {
		if gone = notSent(ctx, o); gone {
			return nil
		}
		return end(o)
	})
	switch {
	case gone || !ended && notSent(ctx, outcome):
		return elsewhere, nil
	case !ended: // the call could not even be opened
		if err := end(outcome); err != nil {
			return over, err
		}
	}
	return over, outcome.Err
}

// routed is the connection that the ledger named, nil if that is gone.
// ▲ TestRouted_neverANewerConnection: A write never goes over a newer connection than the one that
// was routed to.
func (s *Server) routed(r *request, name string, generation uint64) *storage.Conn {
	conn, err := s.storages.Conn(r.keys[0].VirtualStorage, name)
	if err != nil || conn.Generation() != generation {
		return nil
	}
	return conn
}

// notSent tells whether a call found its connection gone.
func notSent(ctx context.Context, o stream.Outcome) bool {
	return !o.Sent && !o.Ended && o.ClientErr == nil && status.Code(o.Err) == codes.Unavailable && ctx.Err() == nil
}

// longestWrite is how long a write may take at least, if its client says so. Until its
// deadline a write that ended without a status may have an effect, and its repository
// is in doubt: no client may say that for years.
const longestWrite = 24 * time.Hour

// deadline is the request's context with a deadline in any case, not later than
// longestWrite or the timeout from now.
func (r *request) deadline(timeout time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := r.ctx.Deadline(); ok {
		longest := max(timeout, longestWrite)
		if time.Until(deadline) <= longest {
			return r.ctx, func() {}
		}
		timeout = longest
	}
	return context.WithTimeout(r.ctx, timeout)
}

// scope bounds the possible effects of the write, and their time; the ledger adds the storages.
func (r *request) scope() state.Scope {
	return state.Scope{BoundMillis: bound(time.Until(r.until)).Milliseconds(), RefsOnly: r.method.RefsOnly}
}

// bound rounds a time up to the next power of two of seconds, so that writes
// with nearly the same deadline share one intent.
func bound(d time.Duration) time.Duration {
	rounded := time.Second
	for rounded < d && rounded <= math.MaxInt64/2 {
		rounded *= 2
	}
	return rounded
}
