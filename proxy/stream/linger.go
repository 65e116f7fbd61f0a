package stream

import (
	"context"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errLingered is the reason for which an RPC is cancelled that was given up and has not ended within Call.Linger.
var errLingered = status.Error(codes.Canceled, "the storage did not end the call that was given up")

// lingering is the part of a call that is about RPCs which go on after the call has given them up.
type lingering struct {
	call  *Call
	ends  context.Context // ends all that lingers: the Forwarder stops
	count atomic.Int32    // RPCs not over, and the Forward
}

// over says that one RPC of the call is over, or that Forward returns.
func (l *lingering) over() {
	if l.count.Add(-1) == 0 && l.call.Over != nil {
		l.call.Over()
	}
}

// linger lets the RPC of a branch that was given up go on for a while. It is cancelled after that.
func (l *lingering) linger(branch *Branch) {
	timer := time.AfterFunc(l.call.Linger, func() { branch.cancel(errLingered) })
	context.AfterFunc(branch.ctx, func() { timer.Stop() })
	stop := context.AfterFunc(l.ends, func() { branch.cancel(errLingered) })
	context.AfterFunc(branch.ctx, func() { stop() })
}

// carryLingering is carry for a call with Linger. The client's stream and the storage's are served
// by a goroutine of their own, which stays with the storage until the RPC is over; this one returns
// as soon as the branch is given up.
func (x *activeCall) carryLingering(f *Forwarder) (end error) {
	sent, ended := make(chan bool, 1), make(chan error, 1)
	f.pumps.Go(func() {
		defer x.rpcs.over()
		defer x.branch.cancel(nil)
		sent <- x.branch.sendFirst()
		end := x.pumpResponses()
		over := end != errGivenUp && x.givenUp == nil
		ended <- end
		if !over {
			x.branch.drain()
		}
	})
	select {
	case x.out.Sent = <-sent:
	case <-x.branch.given.Done():
		x.out.Sent = true // perhaps it was
		return x.abandon(ended)
	case <-x.branch.caller.Done():
		x.out.Sent = true
		return x.abandon(ended)
	}
	x.started(f)
	select {
	case end := <-ended:
		return end
	case <-x.branch.given.Done():
	case <-x.branch.caller.Done():
	}
	return x.abandon(ended)
}

// abandon takes the client's stream away from the goroutine that serves it, and leaves it with the storage. If the storage's
// status is here by now, that counts.
func (x *activeCall) abandon(ended <-chan error) error {
	x.client.Lock()
	x.left = true
	x.client.Unlock()
	select {
	case end := <-ended:
		return end
	default:
	}
	x.abandoned = true
	x.branch.giveUp(context.Cause(x.branch.caller))
	x.rpcs.linger(x.branch)
	return status.FromContextError(x.branch.given.Err()).Err()
}

// drain reads the remaining responses of a storage, until its RPC is over.
func (l *Branch) drain() {
	frame := new(Frame)
	for l.stream.RecvMsg(frame) == nil {
		frame.Free()
	}
}

// abandon ends a secondary that is given up for the call, and leaves its RPC to itself.
func (s *secondary) abandon() {
	if s.claimed.Swap(true) {
		return
	}
	s.out = Outcome{Sent: true, Err: s.branch.localError(status.FromContextError(s.branch.given.Err()).Err())} // perhaps it was sent
	s.rpcs.linger(s.branch)
	s.tell()
}
