package vote

import (
	"context"

	"google.golang.org/grpc"
)

// Finder returns the way to the coordinator of a call; nil if the connection of the
// call has none, over which no vote can be cast.
type Finder func(ctx context.Context) (Coordinator, error)

// Unary returns an interceptor that gives calls their transactions.
func Unary(find Finder) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := enter(ctx, find)
		if err != nil {
			return nil, err
		}
		return handler(ctx, req)
	}
}

// Stream is Unary for streams.
func Stream(find Finder) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := enter(stream.Context(), find)
		if err != nil {
			return err
		}
		return handler(srv, &inTransaction{ServerStream: stream, ctx: ctx})
	}
}

// inTransaction is a stream whose context has the transaction.
type inTransaction struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context of the call.
func (s *inTransaction) Context() context.Context { return s.ctx }
