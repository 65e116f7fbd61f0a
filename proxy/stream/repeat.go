package stream

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// repeatBytes is how much of the requests of one branch is kept to be sent again.
const repeatBytes = 1 << 20

// errNotSent is the end of a branch whose call was not sent.
var errNotSent = status.Error(codes.Canceled, "the call was not sent to the storage")

// Repeat says whether, and when, the call of a branch is sent again from the beginning. The
// functions may be called by any goroutine.
type Repeat struct {
	// Later has the call not sent before the first Turn.
	Later bool
	// Turn waits until the call may be sent, or sent again after it has ended; false: it is not.
	Turn func(context.Context) bool
	// Once is told that the requests are too large to be kept: the call is not sent again.
	// One that was not sent yet is sent soon, because its requests have no room.
	Once func()
	// Kept bounds what all branches keep.
	Kept *Budget
}

// Budget is a number of bytes that several branches share.
type Budget struct {
	Limit int64
	used  atomic.Int64
}

func (b *Budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.Limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// Repeatable is conn for a secondary whose call may be sent several times. It keeps the
// requests, which are *[Frame], within bounds. Of the responses it passes on as many as one
// attempt gave.
func Repeatable(conn grpc.ClientConnInterface, repeat Repeat) grpc.ClientConnInterface {
	return &repeatable{ClientConnInterface: conn, repeat: repeat}
}

type repeatable struct {
	grpc.ClientConnInterface
	repeat Repeat
}

// NewStream opens the call, unless that comes later.
func (c *repeatable) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &repeated{ctx: ctx, repeat: c.repeat, begun: make(chan struct{})}
	s.open = func() (grpc.ClientStream, error) { return c.ClientConnInterface.NewStream(ctx, desc, method, opts...) }
	if c.repeat.Later {
		return s, nil
	}
	first, err := s.open()
	if err != nil {
		return nil, err
	}
	s.current, s.receives = first, first
	close(s.begun)
	return s, nil
}

// repeated is the stream of a branch whose call may be sent several times. One goroutine
// receives and another sends, as with any stream.
type repeated struct {
	ctx    context.Context
	repeat Repeat
	open   func() (grpc.ClientStream, error)
	begun  chan struct{} // closed when current was set, or over

	// mu is held while a request is sent: those that were kept come first. guarded by mu:
	mu      sync.Mutex
	current grpc.ClientStream // nil: not opened yet
	kept    []mem.BufferSlice
	bytes   int
	once    bool // no more is kept
	closed  bool // the requests are complete
	over    bool // the branch has ended

	// Of the receiving goroutine, which does not wait for one that sends: the attempt, the
	// responses that were passed on, and those of the attempt.
	receives    grpc.ClientStream
	passed, got int
}

// Context is that of the branch.
func (s *repeated) Context() context.Context { return s.ctx }

// Header is not known: the branch of a secondary asks for none.
func (s *repeated) Header() (metadata.MD, error) { return nil, nil }

// Trailer is not known either.
func (s *repeated) Trailer() metadata.MD { return nil }

// SendMsg keeps the request, if it can, and sends it in the attempt under way. That this
// one has ended is for RecvMsg to say.
func (s *repeated) SendMsg(m any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return io.EOF
	}
	if !s.keep(m.(*Frame)) {
		if s.current == nil && !s.await() {
			return io.EOF
		}
		return s.current.SendMsg(m)
	}
	if s.current != nil {
		_ = s.current.SendMsg(m)
	}
	return nil
}

// keep reports whether the request was kept. Caller holds mu.
func (s *repeated) keep(f *Frame) bool {
	if s.once {
		return false
	}
	n := f.data.Len()
	if s.bytes+n <= repeatBytes && s.repeat.Kept.take(n) {
		f.data.Ref()
		s.kept = append(s.kept, f.data)
		s.bytes += n
		return true
	}
	s.once = true
	if s.current != nil {
		s.drop()
	}
	s.repeat.Once()
	return false
}

// await waits until the first attempt has begun, and its kept requests are sent. Caller
// holds mu.
func (s *repeated) await() bool {
	s.mu.Unlock()
	<-s.begun // RecvMsg sees to it, or the end of the branch
	s.mu.Lock()
	return !s.over && s.current != nil
}

// drop forgets the requests. Caller holds mu.
func (s *repeated) drop() {
	for _, data := range s.kept {
		data.Free()
	}
	s.repeat.Kept.used.Add(-int64(s.bytes))
	s.kept, s.bytes = nil, 0
}

// CloseSend says that the requests are complete, in this attempt and in those that follow.
func (s *repeated) CloseSend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.current == nil || s.over {
		return nil
	}
	return s.current.CloseSend()
}

// RecvMsg receives a response. Where an attempt has ended it waits for the next one, if
// there is one.
func (s *repeated) RecvMsg(m any) error {
	if s.receives == nil {
		if err := s.again(); err != nil {
			return s.end(err)
		}
	}
	for {
		err := s.receives.RecvMsg(m)
		switch {
		case err != nil:
			// ▲ stream-repeats-the-living: Without the storage's status the attempt may go on:
			// there is no other one then.
			if at, ok := s.ctx.Value(arrivalKey{}).(*arrival); !ok || !at.ended(s.ctx, err) {
				return s.end(err)
			}
			if again := s.again(); again == errNotSent {
				return s.end(err)
			} else if again != nil {
				return s.end(again)
			}
		case s.got < s.passed: // an earlier attempt had it
			s.got++
			m.(*Frame).Free()
		default:
			s.got++
			s.passed++
			return nil
		}
	}
}

// again waits for the turn and makes an attempt with all requests so far. errNotSent: there
// is none.
func (s *repeated) again() error {
	if !s.repeat.Turn(s.ctx) {
		return errNotSent
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.open()
	if err != nil {
		return err
	}
	first := s.current == nil
	s.current, s.receives, s.got = next, next, 0
	for _, data := range s.kept {
		if next.SendMsg(&Frame{data: data}) != nil { // the attempt has ended, as RecvMsg says
			break
		}
	}
	if s.closed {
		_ = next.CloseSend()
	}
	if s.once {
		s.drop()
	}
	if first {
		close(s.begun)
	}
	return nil
}

// end notes the end of the branch.
func (s *repeated) end(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		s.over = true
		s.drop()
		if s.current == nil {
			close(s.begun)
		}
	}
	return err
}
