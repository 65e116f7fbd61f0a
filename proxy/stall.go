package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/stream"
)

// stoppableKey leads from the context of a call to the function that ends it.
type stoppableKey struct{}

// stoppable is the context of a call that can be ended while a message waits for its
// client: that needs a method whose answer is a stream.
func (s *Server) stoppable(ctx context.Context, method string) context.Context {
	if m, ok := s.methods.Lookup(method); !ok || !m.ServerStreams {
		return ctx
	}
	ctx, stop := context.WithCancel(ctx) // which ends with the stream
	return context.WithValue(ctx, stoppableKey{}, stop)
}

// observedStream is a stream whose context leads to its call. It ends a call whose
// client takes nothing: each such client keeps the messages that were read ahead for it.
type observedStream struct {
	grpc.ServerStream
	ctx   context.Context
	stall time.Duration

	moves atomic.Uint64 // odd while a message waits for the client
	// received and sent count the bytes of the messages. The goroutine that receives may outlive the
	// handler.
	received, sent atomic.Int64

	mu    sync.Mutex
	timer *time.Timer // from the second message on; guarded by mu
	last  uint64      // moves as of when the timer fired; guarded by mu
	over  bool        // guarded by mu
}

// Context implements grpc.ServerStream.
func (s *observedStream) Context() context.Context { return s.ctx }

// SendMsg implements grpc.ServerStream.
func (s *observedStream) SendMsg(m any) error {
	if s.moves.Add(1) == 3 { // the second message: it is a stream
		s.watch()
	}
	n := payload(m) // before it is sent: then it may be freed
	err := s.ServerStream.SendMsg(m)
	s.moves.Add(1)
	if err == nil {
		s.sent.Add(n)
	}
	return err
}

// RecvMsg implements grpc.ServerStream.
func (s *observedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.received.Add(payload(m))
	}
	return err
}

// payload is the size of a message in bytes.
func payload(m any) int64 {
	switch m := m.(type) {
	case *stream.Frame:
		return int64(m.Data().Len())
	case proto.Message:
		return int64(proto.Size(m))
	}
	return 0
}

// watch looks at the progress from now on, once in each stall.
func (s *observedStream) watch() {
	stop, ok := s.ctx.Value(stoppableKey{}).(context.CancelFunc)
	if !ok {
		return // a service of ours, whose answers are short
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer = time.AfterFunc(s.stall, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := s.moves.Load()
		switch {
		case s.over:
		case now%2 == 1 && now == s.last:
			stop() // SendMsg returns
		default:
			s.last = now
			s.timer.Reset(s.stall)
		}
	})
}

// end is called when the call has ended.
func (s *observedStream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if s.timer != nil {
		s.timer.Stop()
	}
}
