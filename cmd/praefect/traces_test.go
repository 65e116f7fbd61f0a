package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	"praefect/proxy/storage"
)

// spans is a collector of traces that keeps what it gets.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu  sync.Mutex
	all []*wire.Span // guarded by mu
}

// Export implements collector.TraceServiceServer.
func (s *spans) Export(_ context.Context, request *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			s.all = append(s.all, scope.GetSpans()...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// TestServe_traces: with a collector in the settings a call through a running instance is a span of
// its own, with a span of the call to the storage below it and the facts that an operator looks for.
func TestServe_traces(t *testing.T) {
	l := loopback(t)
	server, sink := grpc.NewServer(), &spans{}
	collector.RegisterTraceServiceServer(server, sink)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		should(t, <-served)
	})
	node := gitaly{storages: []*gitalypb.ServerInfoResponse_StorageStatus{{
		StorageName: "gitaly-1", FilesystemId: "disk-1", Readable: true, Writeable: true,
	}}}.serve(t)
	i := serve(t, settings{
		nodes: []string{node}, more: fmt.Sprintf("[tracing]\notlp_endpoint = %q\ninsecure = true\nsample_ratio = 1\n", l.Addr()),
	}.write(t))
	i.awaitReady()
	cc, err := storage.NewClient(i.grpc, "")
	must(t, err)
	ctx := metadata.AppendToOutgoingContext(t.Context(), correlationHeader, "id-1")
	_, err = gitalypb.NewRefServiceClient(cc).RefExists(ctx, &gitalypb.RefExistsRequest{
		Repository: &gitalypb.Repository{StorageName: "default", RelativePath: "a.git"}, Ref: []byte("refs/heads/main"),
	})
	if grpcstatus.Code(err) != codes.Unimplemented { // as the storage says, which has no repositories
		t.Errorf("got %v", err)
	}
	should(t, cc.Close())
	i.endsWell() // it sends the last spans
	var outer, inner *wire.Span
	for _, span := range sink.all {
		switch {
		case span.GetName() != "gitaly.RefService/RefExists":
		case span.GetKind() == wire.Span_SPAN_KIND_SERVER:
			outer = span
		default:
			inner = span
		}
	}
	if outer == nil || inner == nil || !bytes.Equal(inner.GetParentSpanId(), outer.GetSpanId()) {
		t.Fatalf("the spans are no chain: %v", sink.all)
	}
	contains(t, fmt.Sprint(outer.GetAttributes()), "id-1", "default", "a.git", "gitaly-1")
}

// correlationHeader is upstream's name.
const correlationHeader = "x-gitlab-correlation-id"
