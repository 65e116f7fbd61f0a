package stream

import (
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// activeCall is one call under way. Only Forward's goroutine uses it, except where pumpRequests says
// otherwise.
type activeCall struct {
	ss     grpc.ServerStream
	call   Call
	branch *Branch
	out    Outcome

	// fan is about the other branches. It is safe for pumpRequests and Forward's goroutine to use it together.
	fan *fanout

	// response is the message of a method with one response, kept until the end is passed on. It came if responded.
	response  Frame
	responded bool

	// Of a call with Linger the goroutine of the branch holds client while it uses ss, response and
	// the client's part of out, until left.
	client    sync.Mutex
	left      bool
	abandoned bool          // the branch was given up before its end
	told      chan struct{} // closed when BranchEnded of the branch has returned
	rpcs      *lingering    // nil without Linger

	// givenUp is set if the activeCall ended the call itself, with this status.
	givenUp error

	// requested is closed when no more requests are passed on; nil if there is only the first message. It is closed by
	// pumpRequests, which before that sets requestErr, the reason if it was not the client's half-close.
	requested  chan struct{}
	requestErr error
}

// pumpRequests passes the client's messages on after the first, until its half-close or until either side has ended. It
// cancels none but the primary when the client fails: whether the others go with it depends on how it ends.
func (x *activeCall) pumpRequests() {
	err := x.requests()
	if err != nil {
		x.requestErr = clientError(err)
	}
	close(x.requested)
	if err == nil {
		return
	}
	x.branch.giveUp(x.requestErr)
	if x.rpcs != nil {
		// ▲ stream-part-is-all: Not before nothing can come of it any more: the storage has not got
		// all requests, and would take them as complete.
		<-x.told
		_ = x.branch.stream.CloseSend() // an error would mean that it has ended
	}
}

// requests returns the error by which the client's messages ended early, if no branch was left before.
func (x *activeCall) requests() error {
	ctx, frame := x.ss.Context(), new(Frame)
	ended := false
	for {
		if err := x.ss.RecvMsg(frame); err == io.EOF {
			x.fan.close()
			_ = x.branch.stream.CloseSend() // an error would mean the same as below
			return nil
		} else if err != nil {
			return err
		}
		err := x.fan.put(ctx, frame)
		if err == nil && !ended {
			ended = x.branch.stream.SendMsg(frame) != nil // the branch has ended, and its RecvMsg says how
		}
		frame.Free()
		if err != nil || ended && !x.fan.wants() {
			return err
		}
	}
}

// pumpResponses passes the storage's side on until it ends, and returns the error by which it did: io.EOF for status OK.
func (x *activeCall) pumpResponses() error {
	// A client that still sends may wait for the headers before it sends more, and one that reads a stream may act on them.
	// In a unary call they can do nothing for the client before the response is there, and travel with it.
	if x.call.ClientStreams || x.call.ServerStreams {
		if header := x.header(); header != nil {
			if err := x.sendHeader(header); err != nil {
				return err
			}
		}
	}
	if !x.call.ServerStreams {
		return x.keepResponse()
	}

	frame := new(Frame)
	for {
		if err := x.branch.stream.RecvMsg(frame); err != nil {
			return err
		}
		err := x.sendMsg(frame)
		frame.Free()
		if err != nil {
			return err
		}
	}
}

// errGivenUp tells the goroutine of a branch that it has lost the client's stream.
var errGivenUp = errors.New("the branch was given up")

// enter reports whether the goroutine of the branch may use the client's side; it calls leave after
// that.
func (x *activeCall) enter() bool {
	if x.rpcs == nil {
		return true
	}
	x.client.Lock()
	if x.left {
		x.client.Unlock()
	}
	return !x.left
}

func (x *activeCall) leave() {
	if x.rpcs != nil {
		x.client.Unlock()
	}
}

// sendHeader and sendMsg send to the client, unless the branch was given up.
func (x *activeCall) sendHeader(header metadata.MD) error {
	if !x.enter() {
		return errGivenUp
	}
	defer x.leave()
	x.responding()
	if err := x.ss.SendHeader(header); err != nil {
		return x.clientFailed(err)
	}
	x.out.Responded = true
	return nil
}

// responding tells the caller that the client is given a piece of an answer.
func (x *activeCall) responding() {
	if !x.out.Responded && x.call.Responded != nil {
		x.call.Responded.Store(true)
	}
}

func (x *activeCall) sendMsg(frame *Frame) error {
	if !x.enter() {
		return errGivenUp
	}
	defer x.leave()
	x.responding()
	if err := x.ss.SendMsg(frame); err != nil {
		return x.clientFailed(err)
	}
	x.out.Responded = true
	return nil
}

// keepResponse waits for the end of a method with one response and keeps that: without a status it says nothing to the
// client, and where the end has to wait for an account the response must wait too.
func (x *activeCall) keepResponse() error {
	var first, second Frame
	if err := x.branch.stream.RecvMsg(&first); err != nil {
		return err
	}
	if !x.keep(first) {
		return errGivenUp
	}
	err := x.branch.stream.RecvMsg(&second)
	if err == nil {
		second.Free()
		err = x.secondResponse()
	}
	return err
}

// keep keeps the response, unless the branch was given up.
func (x *activeCall) keep(first Frame) bool {
	if !x.enter() {
		first.Free()
		return false
	}
	defer x.leave()
	x.response, x.responded = first, true
	return true
}

func (x *activeCall) secondResponse() error {
	if !x.enter() {
		return errGivenUp
	}
	defer x.leave()
	return x.giveUp(errSecondResponse(&x.call))
}

// header returns the storage's headers, nil if it sent none, and blocks until that is known.
func (x *activeCall) header() metadata.MD {
	header, err := x.branch.stream.Header()
	if err != nil {
		return nil // the branch has ended, and its RecvMsg says how
	}
	return header
}

// clientFailed ends the call because the client cannot be reached.
func (x *activeCall) clientFailed(err error) error {
	x.out.ClientErr = clientError(err)
	return x.giveUp(x.out.ClientErr)
}

// giveUp ends the call with a status of our own.
func (x *activeCall) giveUp(err error) error {
	x.givenUp = err
	x.branch.giveUp(err)
	return err
}

// finish decides the meaning of the error that ended the branch, waits for the other branches, and lets
// the client have the end if the caller agrees.
func (x *activeCall) finish(end error) {
	defer x.response.Free()

	x.settle(end)
	x.call.branchEnded(0, x.out)
	close(x.told)
	var gone <-chan struct{}
	if x.rpcs != nil {
		gone = x.branch.caller.Done()
	}
	x.out.Others = x.fan.end(x.out, gone)
	if x.call.BeforeStatus != nil {
		if err := x.call.BeforeStatus(x.out); err != nil {
			x.out.Err = err
			return
		}
	}
	if x.out.Ended || x.out.Err == nil {
		x.respond()
	}
}

// settle fills in the outcome. The storage's own status comes before all else: it is how the call
// ended. Then comes the client's end, then the reason for which the branch was cancelled, and last
// gRPC's error for a lost connection.
func (x *activeCall) settle(end error) {
	if x.givenUp != nil {
		x.out.Err = x.givenUp
		return
	}
	x.out.Ended = !x.abandoned && x.branch.arrival.ended(x.branch.ctx, end)
	if x.out.Ended || end == io.EOF {
		x.out.Trailer = x.branch.stream.Trailer()
		if end != io.EOF {
			x.out.Err = end
		}
		return
	}
	x.out.ClientErr = x.clientEnded()
	x.out.Err = x.out.ClientErr
	if x.out.Err == nil {
		x.out.Err = x.branch.localError(end)
	}
}

// clientEnded returns why the client's side ended, nil if it did not or ended by its half-close.
func (x *activeCall) clientEnded() error {
	ctxErr := x.ss.Context().Err()
	if x.requested != nil {
		if ctxErr != nil && !x.abandoned {
			<-x.requested // soon: both ends of the pump are closed
		}
		select {
		case <-x.requested:
			if x.requestErr != nil {
				return x.requestErr
			}
		default:
		}
	}
	if ctxErr != nil {
		return status.FromContextError(ctxErr).Err()
	}
	return nil
}

// respond hands the kept response to the client's connection. The status follows when the handler
// returns.
func (x *activeCall) respond() {
	if !x.call.ClientStreams && !x.call.ServerStreams {
		if header := x.header(); header != nil {
			if err := x.ss.SetHeader(header); err != nil {
				x.out.Err = x.clientFailed(err)
				return
			}
			x.out.Responded = true
		}
	}
	if x.responded {
		if err := x.ss.SendMsg(&x.response); err != nil {
			x.out.Err = x.clientFailed(err)
			return
		}
		x.out.Responded = true
	}
	x.ss.SetTrailer(x.out.Trailer)
}

// clientError makes a status of an error of the client's stream. In whichever way gRPC notices that
// a client is gone, to the call it was cancelled.
func clientError(err error) error {
	st, ok := status.FromError(err)
	switch {
	case !ok:
		return status.FromContextError(err).Err()
	case st.Code() == codes.Unavailable:
		return status.Error(codes.Canceled, st.Message())
	}
	return err
}

// errSecondResponse ends a call at a storage that breaks the rules of its method.
func errSecondResponse(call *Call) error {
	return status.Errorf(codes.Internal, "storage sent more than one response to %q", call.Method)
}
