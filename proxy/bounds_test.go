package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

// TestAuth_onlyCheckIsExempt: what a load balancer asks needs no token, and nothing
// else does.
func TestAuth_onlyCheckIsExempt(t *testing.T) {
	w := newFixture(t)
	client := healthpb.NewHealthClient(w.client(nil))
	if answer, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("Check: got %v, %v", answer, err)
	}
	watch, err := client.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("Watch: got %v", err)
	}
	if _, err := client.List(t.Context(), &healthpb.HealthListRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("List: got %v", err)
	}
	refused := 0
	for range 200 {
		if _, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{}); status.Code(err) == codes.ResourceExhausted {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a client without a token may ask all the time")
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines that contain a text.
func (l *lines) with(text string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}

// TestLog_isBounded: neither long names nor many rejected calls fill the log.
func TestLog_isBounded(t *testing.T) {
	var log lines
	w := newFixture(t)
	w.server.log = slog.New(slog.NewTextHandler(&log, nil))
	long := strings.Repeat("x", 60<<10)
	seen := make(chan metadata.MD, 1)
	w.storages["gitaly-1"].setHook(func(ctx context.Context, _ memory.Call) (bool, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		seen <- md
		return true, nil
	})
	ctx := metadata.AppendToOutgoingContext(t.Context(), correlationHeader, long, accessorPolicyHeader, "primary-only")
	if _, err := gitalypb.NewRepositoryServiceClient(w.conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")}); err != nil {
		t.Fatal(err)
	}
	if got := first((<-seen).Get(correlationHeader)); len(got) != maxName {
		t.Errorf("the storage was sent an id of %d bytes", len(got))
	}
	_ = raw(ctx, w.conn, "/gitaly.NoService/"+long, nil)        // refused
	_ = raw(ctx, w.client(nil), "/gitaly.NoService/"+long, nil) // rejected
	stranger := gitalypb.NewRepositoryServiceClient(w.client(nil))
	for range 50 {
		if _, err := stranger.RepositoryExists(t.Context(), &gitalypb.RepositoryExistsRequest{Repository: repository("a.git")}); status.Code(err) != codes.Unauthenticated {
			t.Fatalf("got %v", err)
		}
	}
	w.eventually(func() error {
		if len(log.with("finished call")) < 2 {
			return errors.New("no line yet")
		}
		return nil
	})
	for _, line := range log.with("") {
		if len(line) > 2<<10 {
			t.Errorf("a line of %d bytes: %.100s", len(line), line)
		}
	}
	if n := len(log.with("rejected call")); n == 0 || n > sampleSize {
		t.Errorf("%d lines about rejected calls, want 1 to %d", n, sampleSize)
	}
}

// TestMetrics_inventedMethods: names of a client's choice are no labels.
func TestMetrics_inventedMethods(t *testing.T) {
	w := newFixture(t)
	for i := range 500 {
		if err := raw(t.Context(), w.conn, fmt.Sprintf("/gitaly.Invented%d/Method%d", i, i), nil); status.Code(err) != codes.Unimplemented {
			t.Fatalf("got %v", err)
		}
	}
	families, err := w.registry.Gather()
	must.Succeed(t, err)
	unknown := false
	for _, family := range families {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if strings.Contains(label.GetValue(), "nvented") {
					t.Fatalf("%s has the label %s=%q", family.GetName(), label.GetName(), label.GetValue())
				}
				unknown = unknown || label.GetValue() == "unknown"
			}
		}
	}
	if !unknown {
		t.Error("calls of unknown methods are not counted")
	}
}

// TestObserve_takenBack: a call that was given up before it began costs neither work nor a line
// in the log each.
func TestObserve_takenBack(t *testing.T) {
	var log lines
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 1000 {
		err := s.observe(ctx, rpc{fullMethod: "/gitaly.RepositoryService/RepositoryExists"}, func(context.Context) error {
			t.Error("it was begun")
			return nil
		})
		if status.Code(err) != codes.Canceled {
			t.Fatalf("got %v", err)
		}
	}
	if n := len(log.with("taken back")); n == 0 || n > 2*sampleSize || len(log.with("")) != n {
		t.Errorf("%d lines, %d of them about it", len(log.with("")), n)
	}
}
