package proxy

import (
	"context"

	"google.golang.org/grpc"
)

// stepped is conn, with the step "after-forward" after the first message of a
// call was handed to the connection. Without steps it is conn itself.
func (s *Server) stepped(conn target) target {
	if s.cfg.Step == nil {
		return conn
	}
	return steppedConn{target: conn, step: s.cfg.Step}
}

type steppedConn struct {
	target
	step func(name string)
}

func (c steppedConn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := c.target.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, err
	}
	return &steppedStream{ClientStream: stream, step: c.step}, nil
}

type steppedStream struct {
	grpc.ClientStream
	step func(name string)
}

func (s *steppedStream) SendMsg(m any) error {
	err := s.ClientStream.SendMsg(m)
	s.step("after-forward")
	return err
}

// step names a point that the handling of a write has reached.
func (s *Server) step(name string) {
	if s.cfg.Step != nil {
		s.cfg.Step(name)
	}
}
