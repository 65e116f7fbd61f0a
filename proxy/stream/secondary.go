package stream

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrTooSlow is the reason for which a secondary is cut off that has kept the call waiting for longer than Call.SlowBound.
var ErrTooSlow = status.Error(codes.ResourceExhausted, "storage is too slow")

// secondary is a branch beside the primary: it is sent the same requests, and its responses are
// dropped, except for its status.
type secondary struct {
	branch   *Branch
	call     *Call
	number   int    // among the branches of the call
	requests *queue // nil if the client does not stream

	claimed atomic.Bool   // by the goroutine that sets out, the one of the branch or that of abandon
	ended   chan struct{} // closed when the branch has ended and BranchEnded has returned
	out     Outcome       // how; set before
	rpcs    *lingering    // nil without Linger
}

func newSecondary(call *Call, number int, branch *Branch, rpcs *lingering) *secondary {
	s := &secondary{branch: branch, call: call, number: number, ended: make(chan struct{}), rpcs: rpcs}
	if call.ClientStreams {
		s.requests = newQueue()
	}
	return s
}

// run carries the branch to its end. The requests get a goroutine of their own only where the client streams.
func (s *secondary) run(f *Forwarder) {
	defer s.over()
	if s.rpcs != nil {
		defer context.AfterFunc(s.branch.given, s.abandon)()
	}
	sent := s.branch.sendFirst()
	if sent && s.requests != nil {
		f.pumps.Go(s.sendRequests)
	}
	end, givenUp := s.dropResponses()
	if s.claimed.Swap(true) {
		return
	}
	s.out.Sent = sent
	s.settle(end, givenUp)
	s.end()
}

// over says that the RPC is over.
func (s *secondary) over() {
	if s.rpcs != nil {
		s.branch.cancel(nil)
		s.rpcs.over()
	}
}

// discard ends a branch that is not run.
func (s *secondary) discard(cause error) {
	if s.branch.first != nil {
		s.branch.first.Free()
	}
	defer s.over()
	s.claimed.Store(true)
	s.out.Err = cause
	s.end()
}

// cutOff ends the branch because it was waited for for too long. It takes no requests from here on.
func (s *secondary) cutOff(bound time.Duration) {
	s.branch.giveUp(fmt.Errorf("%w: it left no room for requests for %s", ErrTooSlow, bound))
	if s.rpcs != nil {
		s.abandon() // first the end of the branch, then that of its requests
		return
	}
	s.requests.end()
}

// sendRequests sends the queue until the client's half-close, or until the branch has ended.
func (s *secondary) sendRequests() {
	frame := new(Frame)
	defer frame.Free()
	for s.requests.next(frame) {
		if s.branch.stream.SendMsg(frame) != nil {
			return // the branch has ended, and its RecvMsg says how
		}
	}
	_ = s.branch.stream.CloseSend() // an error would mean the same
}

// dropResponses returns the error by which the branch ended, or the reason for which it is given up here.
func (s *secondary) dropResponses() (end, givenUp error) {
	frame := new(Frame)
	for responses := 1; ; responses++ {
		if err := s.branch.stream.RecvMsg(frame); err != nil {
			return err, nil
		}
		frame.Free()
		if responses > 1 && !s.call.ServerStreams {
			return nil, errSecondResponse(s.call)
		}
	}
}

// settle fills in the outcome, as the activeCall does for the primary.
func (s *secondary) settle(end, givenUp error) {
	if givenUp != nil {
		s.out.Err = givenUp
		return
	}
	s.out.Ended = s.branch.arrival.ended(s.branch.ctx, end)
	switch {
	case end == io.EOF:
	case s.out.Ended:
		s.out.Err = end
	default:
		s.out.Err = s.branch.localError(end)
	}
}

// end lets go of the branch and wakes every goroutine that waits for it.
func (s *secondary) end() {
	s.branch.cancel(s.out.Err)
	s.tell()
}

// tell says that the branch has ended, and then takes no more requests.
func (s *secondary) tell() {
	s.call.branchEnded(s.number, s.out)
	if s.requests != nil {
		s.requests.end()
	}
	close(s.ended)
}
