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

// secondary is a leg beside the primary: it is sent the same requests, and its responses are
// dropped, except for its status.
type secondary struct {
	leg      *Leg
	call     *Call
	number   int    // among the legs of the call
	requests *queue // nil if the client does not stream

	claimed atomic.Bool   // by the goroutine that sets out, the one of the leg or that of abandon
	ended   chan struct{} // closed when the leg has ended and LegEnded has returned
	out     Outcome       // how; set before
	rpcs    *lingering    // nil without Linger
}

func newSecondary(call *Call, number int, leg *Leg, rpcs *lingering) *secondary {
	s := &secondary{leg: leg, call: call, number: number, ended: make(chan struct{}), rpcs: rpcs}
	if call.ClientStreams {
		s.requests = newQueue()
	}
	return s
}

// run carries the leg to its end. The requests get a goroutine of their own only where the client streams.
func (s *secondary) run(f *Forwarder) {
	defer s.over()
	if s.rpcs != nil {
		defer context.AfterFunc(s.leg.given, s.abandon)()
	}
	sent := s.leg.sendFirst()
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
		s.leg.cancel(nil)
		s.rpcs.over()
	}
}

// discard ends a leg that is not run.
func (s *secondary) discard(cause error) {
	if s.leg.first != nil {
		s.leg.first.Free()
	}
	defer s.over()
	s.claimed.Store(true)
	s.out.Err = cause
	s.end()
}

// cutOff ends the leg because it was waited for for too long. It takes no requests from here on.
func (s *secondary) cutOff(bound time.Duration) {
	s.leg.giveUp(fmt.Errorf("%w: it left no room for requests for %s", ErrTooSlow, bound))
	if s.rpcs != nil {
		s.abandon() // first the end of the leg, then that of its requests
		return
	}
	s.requests.end()
}

// sendRequests sends the queue until the client's half-close, or until the leg has ended.
func (s *secondary) sendRequests() {
	frame := new(Frame)
	defer frame.Free()
	for s.requests.next(frame) {
		if s.leg.stream.SendMsg(frame) != nil {
			return // the leg has ended, and its RecvMsg says how
		}
	}
	_ = s.leg.stream.CloseSend() // an error would mean the same
}

// dropResponses returns the error by which the leg ended, or the reason for which it is given up here.
func (s *secondary) dropResponses() (end, givenUp error) {
	frame := new(Frame)
	for responses := 1; ; responses++ {
		if err := s.leg.stream.RecvMsg(frame); err != nil {
			return err, nil
		}
		frame.Free()
		if responses > 1 && !s.call.ServerStreams {
			return nil, errSecondResponse(s.call)
		}
	}
}

// settle fills in the outcome, as the exchange does for the primary.
func (s *secondary) settle(end, givenUp error) {
	if givenUp != nil {
		s.out.Err = givenUp
		return
	}
	s.out.Ended = s.leg.arrival.ended(s.leg.ctx, end)
	switch {
	case end == io.EOF:
	case s.out.Ended:
		s.out.Err = end
	default:
		s.out.Err = s.leg.localError(end)
	}
}

// end lets go of the leg and wakes every goroutine that waits for it.
func (s *secondary) end() {
	s.leg.cancel(s.out.Err)
	s.tell()
}

// tell says that the leg has ended, and then takes no more requests.
func (s *secondary) tell() {
	s.call.legEnded(s.number, s.out)
	if s.requests != nil {
		s.requests.end()
	}
	close(s.ended)
}
