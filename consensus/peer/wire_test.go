package peer

import (
	"errors"
	"io"
	"testing"
)

// endedStream is one whose other side has ended it: why can be received once.
type endedStream struct{ reason chan error }

func (s endedStream) SendMsg(any) error { return io.EOF }
func (s endedStream) RecvMsg(any) error { return <-s.reason }

func TestStream_sendLeavesTheReasonOfAnEndToRecv(t *testing.T) {
	over := errors.New("over")
	type application struct {
		Name   string `json:"name"`
		ID     string `json:"id"`
		Addr   string `json:"addr"`
		Member bool   `json:"member"`
	}
	type response struct {
		Removed bool   `json:"removed"`
		Why     string `json:"why"`
	}
	join := Method[application, response]("Join")
	s := &Stream[response, application]{stream: endedStream{make(chan error, 1)}, in: join.Response(), out: join.Request()}
	s.stream.(endedStream).reason <- over
	if err := s.Send(&application{}); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, want the end of the stream", err)
	}
	if _, err := s.Recv(); !errors.Is(err, over) {
		t.Errorf("got %v, want %v", err, over)
	}
}
