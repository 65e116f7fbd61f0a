package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/ledger"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/transaction"
	"praefect/proxy/transaction/quorum"
)

var (
	// errLeftOut ends the RPC of a storage whose vote did not count.
	errLeftOut = errors.New("the storage was left out of the vote")
	// errTooFew ends a write that consistency.when_short does not let pass.
	errTooFew = errors.New(`too few storages agreed on the write, and consistency.when_short is "block"; see praefectctl status, and try again`)
)

// linger is how long the branch of a write that has ended may go on at a storage.
// It is longer than git waits for any lock, and than a storage is paused that is
// merely slow; the network connection of a storage that is gone ends sooner.
const linger = 30 * time.Second

// voting is a write on its way to storages that vote on it.
type voting struct {
	server *Server
	try    *try
	r      *request
	w      *ledger.Write
	votes  *transaction.Transaction
	names  []string // of the branches, the primary's first
	began  time.Time
	asked  bool // it is known how it ended
	then   step // after it has ended
}

// passVoting forwards the write to its primary and to the storages that vote with it,
// and ends it, unless the primary was lost, or gave up waiting for locks, while nothing
// had happened.
func (s *Server) passVoting(this *try, r *request, w *ledger.Write) (then step, err error) {
	route := w.Route()
	conn := s.routed(r, route.Storage, route.Generation)
	if conn == nil {
		return elsewhere, nil
	}
	r.call.storage = route.Storage
	r.primary.Store(&route.Storage)
	conns := []*storage.Conn{conn}
	voters := []transaction.Voter{{Storage: route.Storage, Conn: conn, Release: release(conn)}}
	for _, d := range route.Others {
		other := s.routed(r, d.Storage, d.Generation)
		conns = append(conns, other)
		voters = append(voters, transaction.Voter{Storage: d.Storage, Conn: other, Release: release(other)})
	}
	v := &voting{server: s, try: this, r: r, w: w, names: []string{route.Storage}, began: time.Now()}
	v.votes = s.votes.Begin(transaction.Config{
		Keys: r.keys, Voters: voters, Copies: s.copies(r), Block: s.cfg.Block, Failpoint: s.cfg.Failpoint,
		Repeatable: !r.asked, VoteTimeout: s.cfg.VoteTimeout, Lively: func(name string) bool { return s.lively(r.keys[0].VirtualStorage, name) },
		Account: func(agreeing []string, harmless bool) <-chan error {
			r.progress.moves.Add(1)
			return w.Vote(route, agreeing, harmless)
		},
	})
	outcome := v.forward(storage.WithTokenTime(this.ctx, route.At), conns)
	if !v.asked { // the call could not even be opened
		if err := v.end(outcome); err != nil {
			return over, err
		}
	}
	return v.then, outcome.Err
}

// release is the version that a storage runs: Gitaly chooses the input of a hash, and git chooses
// how it tells Gitaly of a change. A storage whose connection is gone casts no vote.
func release(conn *storage.Conn) string {
	if conn == nil {
		return ""
	}
	return conn.Release()
}

// copies is how many must agree: never more than there are.
func (s *Server) copies(r *request) int {
	vs := s.node.View().VirtualStorage(r.keys[0].VirtualStorage)
	if vs == nil {
		return s.cfg.Copies // the vote is refused
	}
	return min(s.cfg.Copies, len(vs.Succession))
}

// forward sends the call to all of them. A storage whose connection is gone does not vote.
func (v *voting) forward(ctx context.Context, conns []*storage.Conn) stream.Outcome {
	outgoing, side, err := v.server.expect(v.r.outgoing(ctx), v.r, conns[0].Sidechannels())
	if err != nil {
		v.votes.Forget()
		return stream.Outcome{Err: err} // nothing was sent
	}
	call := v.r.wire
	call.BeforeStatus = side.before(v.end)
	call.BranchEnded = func(branch int, o stream.Outcome) { v.left(branch, o.Ended && o.Err == nil) }
	call.Grace = quorum.Grace
	// ▲ stream-cancels-the-living: No branch of a storage that lives is cancelled: Gitaly would
	// kill the git that waits with its locks taken, and they would stay. It is told to abort, and
	// ends beside the answer to the client.
	call.Linger, call.Over = linger, v.votes.Forget
	primary, err := v.open(outgoing, call, conns[0], v.server.withFailpoint(conns[0]))
	if err != nil {
		v.votes.Forget()
		_ = side.end()                  // for which nothing came,
		return stream.Outcome{Err: err} // because nothing was sent
	}
	var others []*stream.Branch
	for i, conn := range conns[1:] {
		name := v.w.Route().Others[i].Storage
		if conn == nil {
			v.votes.Leave(name)
			continue
		}
		branch, err := v.open(v.r.outgoing(ctx), call, conn, v.repeatable(conn))
		if err != nil {
			v.votes.Leave(name)
			continue
		}
		v.try.add(name, branch)
		v.names = append(v.names, name)
		others = append(others, branch)
	}
	return v.server.forwarder.Forward(v.r.stream, call, primary, others...)
}

// left is told of each branch that has ended. Once the primary's has, the write does not wait for a
// storage that was left out of the vote before anything happened there.
func (v *voting) left(branch int, well bool) {
	v.votes.Ended(v.names[branch], well)
	if branch > 0 {
		return
	}
	for _, name := range v.votes.Useless() {
		v.try.drop(name, errLeftOut)
	}
}

// repeatable is the connection to a secondary, whose call may be sent again.
func (v *voting) repeatable(conn *storage.Conn) grpc.ClientConnInterface {
	over := v.server.withFailpoint(conn)
	if v.r.asked {
		return over
	}
	name := conn.Target().Storage
	return stream.Repeatable(over, stream.Repeat{
		Later: v.votes.Ordered(),
		Turn:  func(ctx context.Context) bool { return v.votes.Turn(ctx, name) },
		Once:  func() { v.votes.Once(name) },
		Kept:  &v.server.kept,
	})
}

// open opens the call at one storage, over its connection or a stand-in for that. ctx is
// an outgoing one.
func (v *voting) open(ctx context.Context, call stream.Call, conn *storage.Conn, over grpc.ClientConnInterface) (*stream.Branch, error) {
	name := conn.Target().Storage
	ctx = metadata.AppendToOutgoingContext(storage.WithBackchannel(ctx), transaction.Header, v.votes.Metadata(name))
	return stream.Open(ctx, over, call, v.r.firstFor(name))
}

// end ends the write once all branches have ended, before the client has the status.
func (v *voting) end(o stream.Outcome) error {
	v.asked = true
	// ▲ driver-votes-after-end: From here on no vote is allowed: the branches change no more than
	// they have.
	votes := v.votes.End()
	switch {
	case votes.Rounds == 0 && lostPrimary(v.r, o, v.try.ctx):
		v.then = elsewhere
		return nil
	case votes.Rounds == 0 && !votes.Stopped && !votes.Blocked && v.sendAgain(o):
		v.then = again
		return nil
	}
	// A call that ended well since the primary has stopped it before any vote was
	// allowed has changed nothing, as one that failed: git tells the client itself of a hook's
	// refusal.
	succeeded := o.Ended && o.Err == nil && (!votes.Stopped || votes.Committed != nil)
	if succeeded {
		v.server.failpoint("after-success")
	}
	v.server.report(v.r, v.names[0], o, succeeded, votes.PrimaryFailed)
	if succeeded && !votes.Voted && v.allWell(o) {
		votes.Agreed = v.names // ▲ vote-nothing-is-behind: a method that votes before it changes anything has changed nothing
	}
	arrived := true
	agreeing := []string{v.names[0]}
	for i, name := range v.names {
		branch := o
		if i > 0 {
			branch = o.Others[i-1]
		}
		// One without an allowed vote has changed nothing, and never will.
		if !branch.Ended && slices.Contains(votes.Committed, name) {
			arrived = false
		}
		if i > 0 && slices.Contains(votes.Agreed, name) && branch.Ended && alike(branch.Err, o.Err) {
			agreeing = append(agreeing, name)
		}
	}
	if succeeded || len(votes.Committed) > 0 { // else nothing has changed
		v.server.metrics.replicated(replicasOfVote(v.server.storagesOf(v.r.keys[0].VirtualStorage), 1+len(v.w.Route().Others), v.names, agreeing, votes, o))
	}
	err := v.w.End(succeeded, arrived, agreeing...)
	v.server.failpoint("after-enqueue")
	v.server.failpoint("before-status")
	if err == nil && votes.Blocked {
		err = errTooFew // the storage says only that it was told to abort
	}
	return err
}

// allWell tells that the call has ended well at all storages.
func (v *voting) allWell(o stream.Outcome) bool {
	return o.Ended && o.Err == nil && !slices.ContainsFunc(o.Others, func(branch stream.Outcome) bool { return !branch.Ended || branch.Err != nil })
}

// lostPrimary tells whether a write that has changed nothing may go another way: its
// primary was lost or ceased to be one, and neither side of the client's stream has
// been used up.
func lostPrimary(r *request, o stream.Outcome, try context.Context) bool {
	lost := o.Err != nil && !o.Ended && (status.Code(o.Err) == codes.Unavailable || try.Err() != nil)
	return lost && r.untouched(o) && o.ClientErr == nil && r.ctx.Err() == nil
}

// alike tells whether two storages ended a call in the same way.
func alike(a, b error) bool {
	s, t := status.Convert(a), status.Convert(b)
	return s.Code() == t.Code() && s.Message() == t.Message()
}
