package stream

import (
	"context"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Call describes a call before it is forwarded.
type Call struct {
	// Method is the full name on the wire, "/service/method".
	Method string
	// ClientStreams and ServerStreams report which side may send more than one message.
	ClientStreams, ServerStreams bool
	// BeforeStatus, if set, is called once when it is known how the call ended on every branch, and
	// before the client gets its end: the trailers and the status, and with a method of one
	// response the response too. An error replaces the status, and neither response nor trailers
	// are sent. It runs on the caller's goroutine and may block.
	BeforeStatus func(Outcome) error
	// BranchEnded, if set, is called once for each branch as soon as that branch has ended, and before
	// BeforeStatus. The branch that the client hears is number 0, the others follow in their order. It
	// runs on a goroutine of the branch, beside the goroutines of other branches, and should not block for
	// long: the branch counts as ended when it returns.
	BranchEnded func(branch int, out Outcome)

	// Responded, if set, becomes true before the client is handed the first piece of an answer: a header or a message. Until
	// then another storage can answer in place of this one.
	Responded *atomic.Bool

	// Grace says how long the other branches may go on when the status of branch 0 has arrived, the given time after Forward began;
	// then they are cancelled. Not set, or not positive: not at all.
	Grace func(elapsed time.Duration) time.Duration
	// Linger, if positive, has no RPC cancelled whose branch is given up: the branch has ended for the call, at once, and the RPC goes
	// on beside, until it ends by itself or Linger has passed. BranchEnded is called first, and must see to it that the storage is
	// told to do nothing; only then the storage hears that no more requests come.
	Linger time.Duration
	// Over, if set, is called once when all RPCs of a call with Linger are over, after BeforeStatus.
	Over func()
	// SlowBound is how long, in one stretch, another branch may keep the call waiting because it takes no more requests; then it
	// is cancelled, with ErrTooSlow. Not positive: DefaultSlowBound.
	SlowBound time.Duration
}

// DefaultSlowBound is the Call.SlowBound of a call that sets none.
const DefaultSlowBound = 10 * time.Second

func (c *Call) branchEnded(branch int, out Outcome) {
	if c.BranchEnded != nil {
		c.BranchEnded(branch, out)
	}
}

// Peek reads the first message of a client, which the caller then owns. A client that half-closes without any message gets
// io.EOF, where the method permits that.
//
// Of a method with one request it also reads the end of the requests, which clients send together with it, as gRPC's servers
// do. A client that sends another request is refused here, before anything reached a storage, in gRPC's own words.
func Peek(ss grpc.ServerStream, call Call) (*Frame, error) {
	first := new(Frame)
	switch err := ss.RecvMsg(first); {
	case err == io.EOF && call.ClientStreams:
		return nil, io.EOF
	case err == io.EOF:
		return nil, status.Error(codes.Internal, "cardinality violation: received no request message from non-client-streaming RPC")
	case err != nil:
		return nil, clientError(err)
	case call.ClientStreams:
		return first, nil
	}

	second := new(Frame)
	err := ss.RecvMsg(second)
	if err == io.EOF {
		return first, nil
	}
	first.Free()
	if err != nil {
		return nil, clientError(err)
	}
	second.Free()
	return nil, status.Error(codes.Internal, "cardinality violation: received multiple request messages for non-client-streaming RPC")
}

// Branch is a call opened at one destination.
type Branch struct {
	ctx    context.Context // of the RPC
	cancel context.CancelCauseFunc
	// given ends when the branch is given up: with ctx, unless the call has Linger.
	given  context.Context
	giveUp context.CancelCauseFunc
	// caller is the context in which a branch of a call with Linger was opened.
	caller  context.Context
	stream  grpc.ClientStream
	first   *Frame
	arrival *arrival
}

// Open opens a call at a destination. No message is sent yet, so that after an error, whose status is meant for the client,
// the destination can have done nothing.
//
// The branch lives no longer than ctx, which carries the outgoing metadata and should descend from the client's context, so
// that cancellation and deadline pass through. Open takes over first, the message that the destination is to get first; nil
// is that of a client that sent none. A branch that was opened must be forwarded to.
func Open(ctx context.Context, conn grpc.ClientConnInterface, call Call, first *Frame) (*Branch, error) {
	branch := &Branch{first: first, arrival: new(arrival)}
	branch.contexts(ctx, call.Linger)

	// Every method is opened as one that streams responses: gRPC would otherwise keep a response back until the status, and
	// drop it beside an error.
	desc := &grpc.StreamDesc{ClientStreams: call.ClientStreams, ServerStreams: true}
	var err error
	branch.stream, err = conn.NewStream(context.WithValue(branch.ctx, arrivalKey{}, branch.arrival), desc, call.Method, grpc.ForceCodecV2(Codec{}))
	if err != nil {
		if first != nil {
			first.Free()
		}
		err = branch.localError(err)
		branch.cancel(nil)
		return nil, err // not wrapped: the client would see the text
	}
	return branch, nil
}

// contexts makes the contexts of the branch. One that may linger ends neither with the caller's context nor at its deadline, which
// the storage knows, but a while later.
func (l *Branch) contexts(ctx context.Context, linger time.Duration) {
	if linger <= 0 {
		l.ctx, l.cancel = context.WithCancelCause(ctx)
		l.given, l.giveUp = l.ctx, l.cancel
		return
	}
	l.caller = ctx
	rpc, stop := context.WithoutCancel(ctx), func() {}
	if deadline, ok := ctx.Deadline(); ok {
		rpc, stop = context.WithDeadline(rpc, deadline.Add(linger))
	}
	ended, end := context.WithCancelCause(rpc)
	l.ctx, l.cancel = ended, func(cause error) { end(cause); stop() }
	l.given, l.giveUp = context.WithCancelCause(ended)
}

// Cancel gives the branch up. If cause carries a gRPC status, the client gets that status, unless the storage's own had arrived
// before. It may be called at any time, by any goroutine, more than once.
func (l *Branch) Cancel(cause error) { l.giveUp(cause) }

// sendFirst hands the first message to the connection and reports whether that was done.
func (l *Branch) sendFirst() bool {
	if l.first == nil {
		return l.stream.CloseSend() == nil
	}
	defer l.first.Free()
	return l.stream.SendMsg(l.first) == nil
}

// localError explains a status that was made up here: the branch was cancelled for a reason, or err
// itself.
func (l *Branch) localError(err error) error {
	if cause := context.Cause(l.given); cause != nil {
		if _, ok := status.FromError(cause); ok {
			return cause
		}
	}
	return err
}
