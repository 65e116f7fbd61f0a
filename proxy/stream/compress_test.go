package stream

import (
	"context"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/stats"
)

// compressing has a client compress its requests.
var compressing = []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name))}

// wireBytes counts what a client sends and receives of messages, as they are on the wire.
type wireBytes struct {
	StatsHandler
	sent, received atomic.Int64
}

// HandleRPC is called by gRPC.
func (w *wireBytes) HandleRPC(_ context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.OutPayload:
		w.sent.Add(int64(s.CompressedLength))
	case *stats.InPayload:
		w.received.Add(int64(s.CompressedLength))
	}
}

// A client that compresses sees what it would see of a storage, and the storage sees the messages themselves.
func TestForwarder_isTransparentToAClientThatCompresses(t *testing.T) {
	storage, _, addr, proxyAddr := startBoth(t)
	compare(t, dial(t, addr, compressing...), dial(t, proxyAddr, compressing...), append(scenarios(), atOnce()), storage)
}

// With several storages each of them sees the messages themselves.
func TestForwarder_isTransparentToEveryStorageIfTheClientCompresses(t *testing.T) {
	w := startThree(t)
	compare(t, w.direct, dial(t, w.client.Target()[len("passthrough:///"):], compressing...), scenarios(), w.storages[:]...)
}

// What a client compresses is small on its connection, and so is what it is answered.
func TestForwarder_compressesForAClientThatDoes(t *testing.T) {
	storage, _, _, proxyAddr := startBoth(t)
	storage.behave(echo)
	wire := new(wireBytes)
	c := newClient(t, t.Context(), dial(t, proxyAddr, append(compressing, grpc.WithStatsHandler(wire))...), bidi)
	c.send(large)
	c.recv()
	c.closeSend()
	c.drain()
	if sent, received := wire.sent.Load(), wire.received.Load(); sent == 0 || sent > 100<<10 || received == 0 || received > 100<<10 {
		t.Errorf("%d bytes sent and %d received for a message of %d, want few", sent, received, len(large))
	}
}
