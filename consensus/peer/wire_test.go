package peer

import (
	"context"
	"errors"
	"io"
	"testing"
)

// endedStream is one whose other side has ended it: why can be received once.
type endedStream struct{ reason chan error }

func (s endedStream) Context() context.Context { return context.Background() }
func (s endedStream) SendMsg(any) error        { return io.EOF }
func (s endedStream) RecvMsg(any) error        { return <-s.reason }

func TestStream_sendLeavesTheReasonOfAnEndToRecv(t *testing.T) {
	over := errors.New("over")
	s := &Stream[string, string]{stream: endedStream{make(chan error, 1)}}
	s.stream.(endedStream).reason <- over
	message := "hello"
	if err := s.Send(&message); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the stream", err)
	}
	if _, err := s.Recv(); !errors.Is(err, over) {
		t.Errorf("got %v, want %v", err, over)
	}
}
