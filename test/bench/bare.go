package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"praefect/proxy/method"
	"praefect/proxy/stream"
)

// bare is the path through a proxy that does nothing but pass calls on: the cost of gRPC
// and one more process on this machine, regardless of a proxy's own work.
const bare = "bare"

// servePassThrough is this program as such a proxy.
func servePassThrough(storage string) error {
	methods, err := method.New()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(storage, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	var forwarder stream.Forwarder
	server := grpc.NewServer(grpc.ForceServerCodecV2(stream.Codec{}), grpc.UnknownServiceHandler(func(_ any, ss grpc.ServerStream) error {
		name, _ := grpc.MethodFromServerStream(ss)
		m, _ := methods.Lookup(name)
		call := stream.Call{Method: name, ClientStreams: m.ClientStreams, ServerStreams: m.ServerStreams}
		first, err := stream.Peek(ss, call)
		if err != nil {
			return err
		}
		md, _ := metadata.FromIncomingContext(ss.Context())
		branch, err := stream.Open(metadata.NewOutgoingContext(ss.Context(), md), conn, call, first)
		if err != nil {
			return err
		}
		return forwarder.Forward(ss, call, branch).Err
	}))
	return serveUntilEOF(func(ctx context.Context, lis net.Listener) error {
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		return server.Serve(lis)
	})
}
