// Package gitalytest owns the shared parts of tests of and with storages: starting one on a
// loopback port, dialling it, and the contract suite that the storage on real git and the one in
// memory both pass. It promises that everything it starts has ended when the test has. Tests may
// call it.
package gitalytest

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"

	"praefect/test/gitaly/internal/wire"
)

// Serve runs a server on a loopback port until the test ends, and returns the
// address to dial. run is the Run method of a server; it must return nil.
func Serve(t testing.TB, run func(context.Context, net.Listener) error) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1) // one result, so that the goroutine never waits
	go func() { done <- run(ctx, lis) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run server: %v", err)
		}
	})
	return "tcp://" + lis.Addr().String()
}

// Dial returns a connection to an address as Serve returns it, which is closed
// when the test ends. An empty token sends none.
func Dial(t testing.TB, address, token string) *grpc.ClientConn {
	t.Helper()
	conn, err := wire.Dial(address, token)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Errorf("close connection: %v", err)
		}
	})
	return conn
}

// WithServer returns ctx with the header that tells the storage called how to
// reach another one, as ReplicateRepository needs it.
func WithServer(t testing.TB, ctx context.Context, storage, address, token string) context.Context {
	t.Helper()
	ctx, err := wire.WithServer(ctx, storage, address, token)
	if err != nil {
		t.Fatalf("name server: %v", err)
	}
	return ctx
}
