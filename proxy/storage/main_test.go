package storage

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"praefect/fsm/reachability"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStorage is a server that says which disk it has, and notes what it is
// asked.
type fakeStorage struct {
	gitalypb.UnimplementedServerServiceServer
	*grpc.Server
	health *health.Server
	name   string
	disk   string

	mu      sync.Mutex
	calls   []call
	hanging string // method that waits for resumed
	resumed chan struct{}
}

// call is one RPC that arrived.
type call struct {
	method string
	token  []string
}

func newFakeStorage(disk string, opts ...grpc.ServerOption) *fakeStorage {
	f := &fakeStorage{name: "gitaly-1", disk: disk, health: health.NewServer(), resumed: make(chan struct{})}
	f.Server = grpc.NewServer(append(opts,
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if f.note(ctx, info.FullMethod) {
				<-f.resumed
			}
			return handler(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			f.note(stream.Context(), info.FullMethod)
			return handler(srv, stream)
		}))...)
	gitalypb.RegisterServerServiceServer(f.Server, f)
	healthpb.RegisterHealthServer(f.Server, f.health)
	return f
}

// hang makes a unary method wait for resume.
func (f *fakeStorage) hang(method string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hanging = method
}

func (f *fakeStorage) resume() { close(f.resumed) }

// note remembers an RPC and tells whether it has to wait.
func (f *fakeStorage) note(ctx context.Context, method string) bool {
	md, _ := metadata.FromIncomingContext(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call{method, md.Get("authorization")})
	return method == f.hanging
}

// arrived returns the RPCs of a method that arrived so far.
func (f *fakeStorage) arrived(method string) []call {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []call
	for _, c := range f.calls {
		if c.method == method {
			calls = append(calls, c)
		}
	}
	return calls
}

func (f *fakeStorage) ServerInfo(context.Context, *gitalypb.ServerInfoRequest) (*gitalypb.ServerInfoResponse, error) {
	return &gitalypb.ServerInfoResponse{ServerVersion: "16.11", GitVersion: "2.44", StorageStatuses: []*gitalypb.ServerInfoResponse_StorageStatus{
		{StorageName: "another", FilesystemId: "no"},
		{StorageName: f.name, FilesystemId: f.disk, Readable: true, Writeable: true},
	}}, nil
}

// serve serves on a listener until the test ends.
func (f *fakeStorage) serve(t *testing.T, l net.Listener) {
	done := make(chan error, 1)
	go func() { done <- f.Serve(l) }()
	t.Cleanup(func() {
		f.Stop()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Errorf("serve: %v", err)
		}
	})
}

// listen listens on an address, "127.0.0.1:0" for a new one.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// patient are settings with which nothing but a broken transport ends a
// connection, however slow the machine is.
func patient() Config {
	return Config{
		ProbeInterval: 20 * time.Millisecond, ProbeTimeout: time.Minute, Silence: time.Minute,
		DialTimeout: time.Minute, VerifyTimeout: time.Minute,
		BackoffMin: time.Millisecond, BackoffMax: 10 * time.Millisecond,
	}
}

func target(address string) Target {
	return Target{VirtualStorage: "default", Storage: "gitaly-1", Address: address, Token: "secret"}
}

// start runs a set until the test ends.
func start(t *testing.T, cfg Config, targets ...Target) *Set {
	t.Helper()
	s, err := New(targets, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	return s
}

// run runs a set until the test ends.
func run(t *testing.T, s *Set) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

type observation = reachability.Observation

// await waits until the state of the only storage is as wanted.
func await(t *testing.T, s *Set, what string, wanted func(observation) bool) observation {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := s.Changed()
		r := s.Observations()[0]
		if wanted(r) {
			return r
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never %s; last state: %+v", what, r)
		}
	}
}

func reachable(r observation) bool { return r.Reachable }

// conn returns the connection to the only storage once there is one.
func conn(t *testing.T, s *Set) *Conn {
	t.Helper()
	await(t, s, "reachable", reachable)
	c, err := s.Conn("default", "gitaly-1")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// watch begins an RPC that lasts until the server or the context ends it.
func watch(t *testing.T, ctx context.Context, c *Conn) healthpb.Health_WatchClient {
	t.Helper()
	stream, err := healthpb.NewHealthClient(c).Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}
