package proxy

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// progress ends a write that votes, and whose client named no deadline, when nothing of
// it has moved for long: no message from its client or to it, and no vote. Nothing of
// such a write has an effect before its first vote, so that a push may take as long as
// its client sends.
type progress struct {
	moves   atomic.Uint64
	stalled atomic.Bool
}

// watch looks once in each bound, and calls stop when nothing has moved since. The
// function that it returns ends that.
func (p *progress) watch(bound time.Duration, stop func()) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	last := p.moves.Load()
	var timer *time.Timer
	ready := make(chan struct{})
	timer = time.AfterFunc(bound, func() {
		<-ready
		if ctx.Err() != nil {
			return
		}
		now := p.moves.Load()
		if now == last {
			p.stalled.Store(true)
			stop()
			return
		}
		last = now
		timer.Reset(bound)
	})
	close(ready)
	return func() { cancel(); timer.Stop() }
}

// stream counts the messages of a stream as moves.
func (p *progress) stream(ss grpc.ServerStream) grpc.ServerStream {
	return &movingStream{ServerStream: ss, progress: p}
}

// err is the status for the client of a write that stalled.
func (p *progress) err(bound time.Duration) error {
	return status.Error(codes.DeadlineExceeded, fmt.Sprintf(
		"nothing of the write has moved for %v (consistency.write_timeout): look whether the repository differs before the write is sent again", bound))
}

type movingStream struct {
	grpc.ServerStream
	progress *progress
}

// RecvMsg implements grpc.ServerStream.
func (s *movingStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	s.progress.moves.Add(1)
	return err
}

// SendMsg implements grpc.ServerStream.
func (s *movingStream) SendMsg(m any) error {
	err := s.ServerStream.SendMsg(m)
	s.progress.moves.Add(1)
	return err
}
