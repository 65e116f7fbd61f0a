package admin

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// unary describes one method by the function that answers it.
func unary[Request, Response any](r rpc[Request, Response], answer func(*Service, context.Context, Request) (Response, error)) grpc.MethodDesc {
	return grpc.MethodDesc{
		MethodName: r.Name(),
		Handler: func(srv any, ctx context.Context, receive func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
			request, body, err := r.receive(receive)
			if err != nil {
				return nil, err
			}
			handle := func(ctx context.Context, in any) (any, error) {
				response, err := answer(srv.(*Service), withCall(ctx, r.Path(), body), r.Request().Read(in.(proto.Message)))
				if err != nil {
					return nil, err
				}
				return r.Response().Write(response), nil
			}
			if interceptor == nil {
				return handle(ctx, request)
			}
			return interceptor(ctx, request, &grpc.UnaryServerInfo{Server: srv, FullMethod: r.Path()}, handle)
		},
	}
}

// served is a call with streams at the service, with its request.
type served[Request, Response any] struct {
	rpc     rpc[Request, Response]
	stream  grpc.ServerStream
	request Request
	// ctx is that of the stream, with the part of the request that a proof covers.
	ctx context.Context
}

// serve describes a method with streams by the function that answers it, after the first message.
func (r rpc[Request, Response]) serve(answer func(*Service, served[Request, Response]) error) grpc.StreamDesc {
	desc := *r.Stream()
	desc.Handler = func(srv any, stream grpc.ServerStream) error {
		request, body, err := r.receive(stream.RecvMsg)
		if err != nil {
			return err
		}
		return answer(srv.(*Service), served[Request, Response]{
			rpc: r, stream: stream, request: r.Request().Read(request), ctx: withCall(stream.Context(), r.Path(), body),
		})
	}
	return desc
}

// send sends one message.
func (s served[Request, Response]) send(response Response) error {
	return s.stream.SendMsg(s.rpc.Response().Write(response))
}

// receive takes the first message of a client, and its bytes as they came, because the proof of a
// change covers them. Its error is a status.
func (r rpc[Request, Response]) receive(receive func(any) error) (request proto.Message, body []byte, err error) {
	in := &emptypb.Empty{} // has no field, and keeps the bytes of fields that it does not know
	if err := receive(in); err != nil {
		return nil, nil, err
	}
	body = in.ProtoReflect().GetUnknown()
	request = r.Request().New()
	if err := proto.Unmarshal(body, request); err != nil {
		return nil, nil, status.Errorf(codes.InvalidArgument, "no message %s: %v", request.ProtoReflect().Descriptor().FullName(), err)
	}
	return request, body, nil
}

// write is the counterpart of receive: a message that is sent as these bytes.
func (r rpc[Request, Response]) write(request Request) (out proto.Message, body []byte, err error) {
	body, err = proto.Marshal(r.Request().Write(request))
	out = &emptypb.Empty{}
	out.ProtoReflect().SetUnknown(body)
	return out, body, err
}
