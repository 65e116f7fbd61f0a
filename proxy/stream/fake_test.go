package stream

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The fakes are streams without a network: what one side sends is a list, and the codec is used as gRPC uses it.

// fakeClient is the client's side of a call as the proxy sees it.
type fakeClient struct {
	grpc.ServerStream // what no test calls
	ctx               context.Context
	requests          []mem.BufferSlice
	requestsEnd       error         // after the requests; io.EOF if nil
	hold              chan struct{} // if set, the requests end only when it is closed

	headerErr, sendErr error
	events             []string // what it was given, in order
	quiet              bool     // no events, which cost allocations
}

func (c *fakeClient) event(what string) {
	if !c.quiet {
		c.events = append(c.events, what)
	}
}

func (c *fakeClient) Context() context.Context { return c.ctx }

func (c *fakeClient) RecvMsg(m any) error {
	if len(c.requests) > 0 {
		msg := c.requests[0]
		c.requests = c.requests[1:]
		return receive(msg, m)
	}
	if c.hold != nil {
		<-c.hold
	}
	if c.requestsEnd != nil {
		return c.requestsEnd
	}
	return io.EOF
}

func (c *fakeClient) SendMsg(m any) error {
	if c.sendErr != nil {
		return c.sendErr
	}
	c.event("message")
	return send(m)
}

func (c *fakeClient) SendHeader(metadata.MD) error {
	if c.headerErr != nil {
		return c.headerErr
	}
	c.event("header")
	return nil
}

func (c *fakeClient) SetHeader(md metadata.MD) error {
	if md.Len() == 0 {
		return nil
	}
	return c.SendHeader(md)
}

func (c *fakeClient) SetTrailer(md metadata.MD) {
	if md.Len() > 0 {
		c.event("trailer")
	}
}

// fakeStorage is the storage's side of a call as the proxy sees it.
type fakeStorage struct {
	grpc.ClientStream // what no test calls
	ctx               context.Context
	header            metadata.MD
	responses         []mem.BufferSlice
	end               error // after the responses; io.EOF if nil
	untilCancelled    bool  // the responses end only when the branch is cancelled

	// How a storage takes its time.
	halfClosed chan struct{} // if set, the responses end only after the requests; see ofFullCall
	lasts      time.Duration // before the end
	pace       time.Duration // for each request but the first
	stuck      int           // the number of requests that are taken at all, if not 0
	sendFails  bool
	sendTakes  bool // until the branch is cancelled

	got int // requests taken, counted by the one goroutine that sends
}

// ofFullCall makes a storage that ends only when the client has.
func ofFullCall() *fakeStorage { return &fakeStorage{halfClosed: make(chan struct{})} }

func (s *fakeStorage) Header() (metadata.MD, error) { return s.header, nil }

func (s *fakeStorage) RecvMsg(m any) error {
	if len(s.responses) > 0 {
		msg := s.responses[0]
		s.responses = s.responses[1:]
		return receive(msg, m)
	}
	if !s.comesToItsEnd() {
		return status.FromContextError(s.ctx.Err()).Err()
	}
	if s.end != nil {
		return s.end
	}
	return io.EOF
}

// comesToItsEnd takes the storage's time, and returns false if the branch is cancelled first.
func (s *fakeStorage) comesToItsEnd() bool {
	if s.halfClosed != nil {
		select {
		case <-s.halfClosed:
		case <-s.ctx.Done():
			return false
		}
	}
	if s.untilCancelled {
		<-s.ctx.Done()
		return false
	}
	return s.waits(s.lasts)
}

// waits returns false if the branch is cancelled first.
func (s *fakeStorage) waits(d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-s.ctx.Done():
		return false
	}
}

func (s *fakeStorage) SendMsg(m any) error {
	switch {
	case s.sendFails:
		return io.EOF
	case s.sendTakes:
		<-s.ctx.Done()
		return io.EOF
	case s.stuck > 0 && s.got == s.stuck:
		<-s.ctx.Done()
		return io.EOF
	case s.pace > 0 && s.got > 0 && !s.waits(s.pace):
		return io.EOF
	}
	s.got++
	return send(m)
}

func (s *fakeStorage) CloseSend() error {
	if s.halfClosed != nil {
		close(s.halfClosed)
	}
	return nil
}

func (s *fakeStorage) Trailer() metadata.MD { return metadata.Pairs("t", "1") }

// receive does what gRPC does with a message that came in.
func receive(msg mem.BufferSlice, m any) error {
	err := Codec{}.Unmarshal(msg, m)
	msg.Free()
	return err
}

// send does what gRPC does with a message that goes out.
func send(m any) error {
	msg, err := Codec{}.Marshal(m)
	if err != nil {
		return err
	}
	msg.Free()
	return nil
}

// fakeBranch is a branch to a fake storage, whose trailers have arrived if ended is set.
func fakeBranch(tb testing.TB, storage *fakeStorage, ended bool) *Branch {
	tb.Helper()
	return fakeBranchIn(tb.Context(), storage, ended)
}

func fakeBranchIn(ctx context.Context, storage *fakeStorage, ended bool) *Branch {
	branch := &Branch{stream: storage, first: new(Frame), arrival: new(arrival)}
	branch.contexts(ctx, 0)
	storage.ctx = branch.ctx
	branch.arrival.begin(false)
	branch.arrival.arrived.Store(ended)
	return branch
}

func messages(n int) []mem.BufferSlice {
	msg := mem.BufferSlice{mem.SliceBuffer("message")}
	list := make([]mem.BufferSlice, n)
	for i := range list {
		list[i] = msg
	}
	return list
}
