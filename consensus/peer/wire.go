package peer

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"praefect/consensus/peer/peerpb"
	"praefect/fsm/wire"
)

// service is praefect.peer.v1.PeerService, as the .proto files describe it.
var service = peerpb.File_consensus_peer_peerpb_service_proto.Services().ByName("PeerService")

// RPC is one method of the service, with the structs that its messages are made of.
type RPC[Request, Response any] struct {
	wire.Method[Request, Response]
}

// Method returns the method of that name.
func Method[Request, Response any](name string) RPC[Request, Response] {
	return RPC[Request, Response]{wire.MethodOf[Request, Response](service, name, nil)}
}

// Caller returns the peer that has made the call of ctx.
func Caller(ctx context.Context) (Addr, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if a, ok := p.Addr.(Addr); ok {
			return a, nil
		}
	}
	return Addr{}, status.Error(codes.Unauthenticated, "the caller is no authenticated peer")
}

// Service returns the description of the service for grpc.Server.
func Service(methods []grpc.MethodDesc, streams []grpc.StreamDesc) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: string(service.FullName()), HandlerType: (*any)(nil), Metadata: service.ParentFile().Path(), Methods: methods, Streams: streams,
	}
}

// Answer describes a method with one request and one response by the function that answers it.
func (r RPC[Request, Response]) Answer(answer func(context.Context, Addr, Request) (Response, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: r.Name(), Handler: func(_ any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		from, err := Caller(ctx)
		if err != nil {
			return nil, err
		}
		in := r.Request().New()
		if err := receive(in); err != nil {
			return nil, err
		}
		response, err := answer(ctx, from, r.Request().Read(in))
		if err != nil {
			return nil, err
		}
		return r.Response().Write(response), nil
	}}
}

// Call makes a call with one request and one response. Errors are gRPC statuses.
func (r RPC[Request, Response]) Call(ctx context.Context, cc grpc.ClientConnInterface, request Request) (Response, error) {
	out := r.Response().New()
	if err := cc.Invoke(ctx, r.Path(), r.Request().Write(request), out); err != nil {
		var none Response
		return none, err
	}
	return r.Response().Read(out), nil
}

// CallTo is Call to the instance at addr. Its error says which call of which peer failed.
func (r RPC[Request, Response]) CallTo(ctx context.Context, c *Clients, addr string, request Request) (Response, error) {
	cc, err := c.To(addr)
	if err != nil {
		var none Response
		return none, err
	}
	response, err := r.Call(ctx, cc, request)
	if err != nil {
		return response, fmt.Errorf("call %s of the peer at %s: %w", r.Name(), addr, err)
	}
	return response, nil
}

// Stream carries messages both ways: In are received, Out are sent. One
// goroutine may send while another one receives.
type Stream[In, Out any] struct {
	stream interface {
		SendMsg(any) error
		RecvMsg(any) error
	}
	in    *wire.Type[In]
	out   *wire.Type[Out]
	close func()
}

// Serve describes a method with any number of messages both ways by the function that serves it.
func (r RPC[Request, Response]) Serve(serve func(context.Context, Addr, *Stream[Request, Response]) error) grpc.StreamDesc {
	desc := *r.Stream()
	desc.Handler = func(_ any, s grpc.ServerStream) error {
		from, err := Caller(s.Context())
		if err != nil {
			return err
		}
		return serve(s.Context(), from, &Stream[Request, Response]{stream: s, in: r.Request(), out: r.Response(), close: func() {}})
	}
	return desc
}

// Open makes a call to such a method. It ends with ctx, or by Close, of which one is needed.
func (r RPC[Request, Response]) Open(ctx context.Context, cc grpc.ClientConnInterface) (*Stream[Response, Request], error) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := cc.NewStream(ctx, r.Stream(), r.Path())
	if err != nil {
		cancel()
		return nil, err
	}
	return &Stream[Response, Request]{stream: s, in: r.Response(), out: r.Request(), close: cancel}, nil
}

// Send sends one message; it blocks while the other side does not read. io.EOF
// says that the stream has ended, and Recv tells why.
func (s *Stream[In, Out]) Send(message *Out) error {
	// The reason of an end is there to be received once: to receive it here would
	// leave the other goroutine, which may be receiving, waiting for ever.
	return s.stream.SendMsg(s.out.Write(*message))
}

// Recv waits for the next message, until the stream ends.
func (s *Stream[In, Out]) Recv() (*In, error) {
	m := s.in.New()
	if err := s.stream.RecvMsg(m); err != nil {
		return nil, err
	}
	message := s.in.Read(m)
	return &message, nil
}

// Close ends a stream that Open made; a server ends it by returning.
func (s *Stream[In, Out]) Close() { s.close() }
