package proxy

import (
	"context"

	"google.golang.org/grpc"
)

// withFailpoint is conn, with the failpoint "after-forward" after the first message of a
// call was handed to the connection. Without failpoints it is conn itself.
func (s *Server) withFailpoint(conn target) target {
	if s.cfg.Failpoint == nil {
		return conn
	}
	return failingConn{target: conn, failpoint: s.cfg.Failpoint}
}

type failingConn struct {
	target
	failpoint func(name string)
}

func (c failingConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := c.target.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &failingStream{ClientStream: stream, failpoint: c.failpoint}, nil
}

type failingStream struct {
	grpc.ClientStream
	failpoint func(name string)
}

func (s *failingStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	s.failpoint("after-forward")
	return err
}

// failpoint names a point that the handling of a write has reached.
func (s *Server) failpoint(name string) {
	if s.cfg.Failpoint != nil {
		s.cfg.Failpoint(name)
	}
}
