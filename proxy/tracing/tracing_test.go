package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/emptypb"
)

// received is a collector that keeps what it gets.
type received struct {
	collector.UnimplementedTraceServiceServer
	mu    sync.Mutex
	spans []*wire.Span // guarded by mu
}

// Export implements collector.TraceServiceServer.
func (r *received) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// listen serves until the test ends, and returns the address.
func listen(t testing.TB, server *grpc.Server) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

func dial(t testing.TB, addr string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

const method = "/gitaly.RefService/RefExists"

// chain is a storage behind an instance, and what the storage got.
func chain(t testing.TB, tracer *Tracer) (client *grpc.ClientConn, got *metadata.MD) {
	t.Helper()
	got = new(metadata.MD)
	storage := listen(t, grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		*got, _ = metadata.FromIncomingContext(stream.Context())
		return stream.SendMsg(&emptypb.Empty{})
	})))
	behind := dial(t, storage, tracer.DialOptions()...)
	instance := grpc.NewServer(append(tracer.ServerOptions(), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		md, _ := metadata.FromIncomingContext(stream.Context())
		tracer.Annotate(stream.Context(), "correlation_id", "id-1", "gitaly.storage", "")
		if err := behind.Invoke(metadata.NewOutgoingContext(stream.Context(), md), method, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
			return err
		}
		return stream.SendMsg(&emptypb.Empty{})
	}))...)
	return dial(t, listen(t, instance)), got
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	parent  = "00-" + traceID + "-b7ad6b7169203331-01"
)

func call(t testing.TB, client *grpc.ClientConn) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "traceparent", parent, "x-gitlab-correlation-id", "id-1")
	if err := client.Invoke(ctx, method, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
		t.Fatal(err)
	}
}

// TestTracer_continuesTheClientsTrace: the instance and its call to the storage are spans of the
// trace that the client began, and the storage can go on with it.
func TestTracer_continuesTheClientsTrace(t *testing.T) {
	var sink received
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, &sink)
	tracer, err := Open(t.Context(), Config{Endpoint: listen(t, server), Insecure: true, Instance: "praefect-1"}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	client, got := chain(t, tracer)
	call(t, client)
	passed := got.Get("traceparent")
	if _, err := healthpb.NewHealthClient(client).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracer.Run(ctx); err != nil { // sends all
		t.Fatal(err)
	}
	if len(sink.spans) != 2 {
		t.Fatalf("got %d spans, want one of the instance and one of its call: %v", len(sink.spans), sink.spans)
	}
	outer, inner := sink.spans[0], sink.spans[1]
	if outer.GetKind() != wire.Span_SPAN_KIND_SERVER {
		outer, inner = inner, outer
	}
	for _, span := range sink.spans {
		if hex.EncodeToString(span.GetTraceId()) != traceID || span.GetName() != strings.TrimPrefix(method, "/") {
			t.Errorf("got %v", span)
		}
	}
	if hex.EncodeToString(outer.GetParentSpanId()) != "b7ad6b7169203331" || !bytes.Equal(inner.GetParentSpanId(), outer.GetSpanId()) {
		t.Errorf("the spans are no chain: %v, %v", outer, inner)
	}
	if want := "00-" + traceID + "-" + hex.EncodeToString(inner.GetSpanId()) + "-01"; len(passed) != 1 || passed[0] != want {
		t.Errorf("the storage got %q, want %q", passed, want)
	}
	if !strings.Contains(outer.String(), "correlation_id") || strings.Contains(outer.String(), "gitaly.storage") {
		t.Errorf("the span has other facts: %v", outer)
	}
}

// TestTracer_collectorAway: calls do not wait for a collector that does not answer.
func TestTracer_collectorAway(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := silent.Close(); err != nil {
			t.Error(err)
		}
	}()
	tracer, err := Open(t.Context(), Config{Endpoint: silent.Addr().String(), Insecure: true, Ratio: 1}, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	client, _ := chain(t, tracer)
	for range 3000 { // more than the queue holds
		call(t, client)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if err := tracer.Run(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > time.Minute { // it is bounded by flushTimeout
		t.Errorf("the end took %v", took)
	}
}

// TestTracer_off: without a collector nothing is hung in anywhere, and the client's context passes
// as it came.
func TestTracer_off(t *testing.T) {
	var off *Tracer
	if s, c := off.ServerOptions(), off.DialOptions(); len(s)+len(c) > 0 {
		t.Errorf("got %d and %d options", len(s), len(c))
	}
	client, got := chain(t, off)
	call(t, client)
	if values := got.Get("traceparent"); len(values) != 1 || values[0] != parent {
		t.Errorf("the storage got %q, want %q", values, parent)
	}
	ctx := t.Context()
	if allocs := testing.AllocsPerRun(100, func() { off.Annotate(ctx, "correlation_id", "id-1", "gitaly.storage", "gitaly-1") }); allocs > 0 {
		t.Errorf("%v allocations without a tracer", allocs)
	}
}

// BenchmarkCall compares a call through an instance without a tracer, with one whose calls are not
// sampled, and with one that traces every call.
func BenchmarkCall(b *testing.B) {
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, &received{})
	endpoint := listen(b, server)
	open := func(ratio float64) *Tracer {
		tracer, err := Open(b.Context(), Config{Endpoint: endpoint, Insecure: true, Ratio: ratio}, slog.Default())
		if err != nil {
			b.Fatal(err)
		}
		return tracer
	}
	for name, tracer := range map[string]*Tracer{"off": nil, "not sampled": open(0), "sampled": open(1)} {
		b.Run(name, func(b *testing.B) {
			client, _ := chain(b, tracer)
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Invoke(b.Context(), method, &emptypb.Empty{}, &emptypb.Empty{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
