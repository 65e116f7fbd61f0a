package peer

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// serviceName is the one service on the port.
const serviceName = "praefect.Peer"

// Calls between instances carry JSON in a BytesValue: instances of two releases
// run side by side, and fields that one of them does not know say nothing to it.

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
	return &grpc.ServiceDesc{ServiceName: serviceName, HandlerType: (*any)(nil), Methods: methods, Streams: streams}
}

// Method is a call with one request and one response.
func Method[Request, Response any](name string, answer func(context.Context, Addr, Request) (Response, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(_ any, ctx context.Context, receive func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		from, err := Caller(ctx)
		if err != nil {
			return nil, err
		}
		in := &wrapperspb.BytesValue{}
		if err := receive(in); err != nil {
			return nil, err
		}
		var request Request
		if err := json.Unmarshal(in.GetValue(), &request); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "read a request of %s: %v", name, err)
		}
		response, err := answer(ctx, from, request)
		if err != nil {
			return nil, err
		}
		return encode(response)
	}}
}

// Call makes a call to a Method. Errors are gRPC statuses.
func Call[Response, Request any](ctx context.Context, cc grpc.ClientConnInterface, name string, request Request) (Response, error) {
	var response Response
	in, err := encode(request)
	if err != nil {
		return response, err
	}
	out := &wrapperspb.BytesValue{}
	if err := cc.Invoke(ctx, "/"+serviceName+"/"+name, in, out); err != nil {
		return response, err
	}
	return response, decode(out, &response)
}

// Stream carries messages both ways: In are received, Out are sent. One
// goroutine may send while another one receives.
type Stream[In, Out any] struct {
	stream interface {
		Context() context.Context
		SendMsg(any) error
		RecvMsg(any) error
	}
	close func()
}

// StreamMethod is a call with any number of messages both ways.
func StreamMethod[In, Out any](name string, serve func(context.Context, Addr, *Stream[In, Out]) error) grpc.StreamDesc {
	return grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		from, err := Caller(s.Context())
		if err != nil {
			return err
		}
		return serve(s.Context(), from, &Stream[In, Out]{stream: s, close: func() {}})
	}}
}

// OpenStream makes a call to a StreamMethod. It ends with ctx, or by Close, of
// which one is needed.
func OpenStream[In, Out any](ctx context.Context, cc grpc.ClientConnInterface, name string) (*Stream[In, Out], error) {
	ctx, cancel := context.WithCancel(ctx)
	desc := &grpc.StreamDesc{StreamName: name, ServerStreams: true, ClientStreams: true}
	s, err := cc.NewStream(ctx, desc, "/"+serviceName+"/"+name)
	if err != nil {
		cancel()
		return nil, err
	}
	return &Stream[In, Out]{stream: s, close: cancel}, nil
}

// Send sends one message; it blocks while the other side does not read. io.EOF
// says that the stream has ended, and Recv tells why.
func (s *Stream[In, Out]) Send(message *Out) error {
	m, err := encode(message)
	if err != nil {
		return err
	}
	// The reason of an end is there to be received once: to receive it here would
	// leave the other goroutine, which may be receiving, waiting for ever.
	return s.stream.SendMsg(m)
}

// Recv waits for the next message, until the stream ends.
func (s *Stream[In, Out]) Recv() (*In, error) {
	m := &wrapperspb.BytesValue{}
	if err := s.stream.RecvMsg(m); err != nil {
		return nil, err
	}
	message := new(In)
	return message, decode(m, message)
}

// Close ends a stream that OpenStream made; a server ends it by returning.
func (s *Stream[In, Out]) Close() { s.close() }

func encode(v any) (*wrapperspb.BytesValue, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode a message: %w", err)
	}
	return wrapperspb.Bytes(text), nil
}

func decode(m *wrapperspb.BytesValue, v any) error {
	if err := json.Unmarshal(m.GetValue(), v); err != nil {
		return fmt.Errorf("decode a message: %w", err)
	}
	return nil
}
