package stream

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// Outcome says how a forwarded call ended.
type Outcome struct {
	// Err is what the handler returns to gRPC: nil, or an error that carries the status for the client.
	Err error
	// Ended reports that the status arrived from the storage, so that the call has ended there and
	// can have no further effect. Without it an effect may still come, even if Err is nil.
	Ended bool
	// Sent reports that the first message was handed to the connection. Without it the storage cannot have done anything.
	Sent bool
	// Responded reports that a header or a message was handed to the client's connection, so that the client cannot be
	// answered by another storage any more. Neither can it if the client streams: its messages are then partly used up.
	Responded bool
	// ClientErr is the reason, as a status, if it was the client's side that ended the call: it
	// hung up, its deadline passed, or it sent a message that gRPC refuses.
	ClientErr error
	// Trailer is the metadata that the storage sent with the status.
	Trailer metadata.MD
	// Others says how the other branches ended, in their order. Theirs is Err, the status as a client would have got it, Ended
	// and Sent. It is nil while they may go on, so that BranchEnded never sees it.
	Others []Outcome
}

// Forwarder forwards calls between clients and storages. The zero value is ready, and safe for concurrent use.
type Forwarder struct {
	pumps sync.WaitGroup

	init sync.Once
	ends context.Context // ends lingering branches; made by init
	stop context.CancelFunc
}

// lingers makes the context that ends lingering branches.
func (f *Forwarder) lingers() context.Context {
	f.init.Do(func() { f.ends, f.stop = context.WithCancel(context.Background()) })
	return f.ends
}

// Forward passes everything on between a client and the storage of a branch, in both directions, until
// it is known how the call ended, and says so. Messages pass as they come. The status is left to
// the caller, which returns it from the handler and so passes the end on to the client.
//
// The storages of the other branches are secondaries, which are sent the same requests and whose ends are waited for, as the
// package says under "More than one destination". The others have no part in the answer, and none can fail the call.
//
// It takes over the branches, which are given up when it returns. The context of ss ends only together with the stream, as
// gRPC's does: a caller that wants to end the call cancels the branch. If the client streams and the storage answered before the
// client had finished, a goroutine may still wait for the client's next message; gRPC ends that wait when the handler
// returns, and [Forwarder.Wait] waits for it.
func (f *Forwarder) Forward(ss grpc.ServerStream, call Call, branch *Branch, others ...*Branch) Outcome {
	x := &activeCall{ss: ss, call: call, branch: branch, told: make(chan struct{})}
	if call.Linger > 0 {
		x.rpcs = &lingering{call: &x.call, ends: f.lingers()}
		x.rpcs.count.Store(int32(2 + len(others)))
		defer x.rpcs.over()
	}
	defer branch.giveUp(nil)
	x.fan = newFanout(&x.call, others, x.rpcs)
	defer x.fan.cancel(nil)
	if x.rpcs != nil {
		x.finish(x.carryLingering(f))
	} else {
		x.finish(x.carry(f))
	}
	return x.out
}

// carry sends the first message to the primary, and passes its responses on until it ends.
func (x *activeCall) carry(f *Forwarder) (end error) {
	x.out.Sent = x.branch.sendFirst()
	x.started(f)
	return x.pumpResponses()
}

// started sends the first message to the others, and has the client's requests passed on, if the primary was sent its own.
func (x *activeCall) started(f *Forwarder) {
	// ▲ TestForwarder_primaryNotSent: No secondary is sent anything before the primary was: a call
	// that was not sent to it has happened nowhere.
	if !x.out.Sent {
		return
	}
	x.fan.start(f)
	if x.call.ClientStreams && x.branch.first != nil {
		x.requested = make(chan struct{})
		f.pumps.Go(x.pumpRequests)
	}
}

// Wait returns when no goroutine of any Forward is left. It is called when the server has stopped, after which no Forward
// may begin. RPCs that linger are cancelled after a while.
func (f *Forwarder) Wait(linger time.Duration) {
	f.lingers()
	timer := time.AfterFunc(linger, f.stop)
	defer timer.Stop()
	f.pumps.Wait()
}
