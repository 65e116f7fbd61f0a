package info_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"praefect/fsm/state"
	"praefect/proxy/admin/admintest"
	"praefect/proxy/info"
	"praefect/test/gitaly/memory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is the service in front of three storages in memory, gitaly-1 the primary.
type fixture struct {
	*admintest.Cluster
	t         *testing.T
	client    gitalypb.PraefectInfoServiceClient
	storage   *grpc.ClientConn // the server of all three
	catalogue *catalogue

	mu       sync.Mutex
	away     map[string]bool // guarded by mu
	accepted []string        // guarded by mu
	refusal  error           // of AcceptLoss; guarded by mu
	stranger error           // why whoever calls may not; guarded by mu
	log      strings.Builder // guarded by mu
}

func newFixture(t *testing.T) *fixture {
	names := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	w := &fixture{Cluster: admintest.New(t, names...), t: t, away: make(map[string]bool), catalogue: newCatalogue()}
	gitaly, err := memory.New(memory.Config{Storages: names})
	if err != nil {
		t.Fatal(err)
	}
	w.storage = w.serve(gitaly.Run)
	service := info.New(info.Deps{
		Node: w, Storages: w, Catalogue: w.catalogue, AcceptLoss: w.acceptLoss,
		MayAcceptLoss: func(context.Context, state.Key, string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.stranger
		}, Log: slog.New(slog.NewTextHandler(w, nil)),
	})
	w.client = gitalypb.NewPraefectInfoServiceClient(w.serve(func(ctx context.Context, l net.Listener) error {
		server := grpc.NewServer()
		service.Register(server)
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		return server.Serve(l)
	}))
	return w
}

// serve runs a server until the test ends and returns a connection to it.
func (w *fixture) serve(run func(context.Context, net.Listener) error) *grpc.ClientConn {
	w.t.Helper()
	l := bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx, l) }()
	cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := cc.Close(); err != nil {
			w.t.Error(err)
		}
		cancel()
		if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			w.t.Error(err)
		}
	})
	return cc
}

// Conn implements info.Storages.
func (w *fixture) Conn(_, storage string) (grpc.ClientConnInterface, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away[storage] {
		return nil, fmt.Errorf("storage %q: connection refused", storage)
	}
	return w.storage, nil
}

// lose makes storages unreachable.
func (w *fixture) lose(storages ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range storages {
		w.away[name] = true
	}
}

// Write implements io.Writer for the log.
func (w *fixture) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *fixture) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

func (w *fixture) acceptLoss(_ context.Context, key state.Key, storage string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.accepted = append(w.accepted, key.VirtualStorage+" "+key.RelativePath+" "+storage)
	return w.refusal
}

// create makes a repository on storages.
func (w *fixture) create(path string, storages ...string) {
	w.t.Helper()
	for _, name := range storages {
		_, err := gitalypb.NewRepositoryServiceClient(w.storage).CreateRepository(w.t.Context(), &gitalypb.CreateRepositoryRequest{
			Repository: &gitalypb.Repository{StorageName: name, RelativePath: path},
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// is fails the test unless err has the code and the text.
func is(t *testing.T, what string, err error, want string) {
	t.Helper()
	if got := status.Code(err).String() + ": " + status.Convert(err).Message(); !strings.HasPrefix(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// catalogue is one in memory, which may be away.
type catalogue struct {
	mu     sync.Mutex
	list   []info.Repository // guarded by mu
	err    error             // guarded by mu
	marked []string          // guarded by mu
}

func newCatalogue() *catalogue { return &catalogue{} }

func (c *catalogue) find(match func(info.Repository) bool) (info.Repository, bool, error) {
	if c.err != nil {
		return info.Repository{}, false, c.err
	}
	if i := slices.IndexFunc(c.list, match); i >= 0 {
		return c.list[i], true, nil
	}
	return info.Repository{}, false, nil
}

func (c *catalogue) Ensure(_ context.Context, key state.Key) (info.Repository, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, found, err := c.find(func(r info.Repository) bool { return r.Key == key })
	if !found && err == nil {
		r = info.Repository{ID: int64(len(c.list) + 1), Key: key}
		c.list = append(c.list, r)
	}
	return r, err
}

func (c *catalogue) Find(_ context.Context, key state.Key) (info.Repository, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(func(r info.Repository) bool { return r.Key == key })
}

func (c *catalogue) ByID(_ context.Context, id int64) (info.Repository, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(func(r info.Repository) bool { return r.ID == id })
}

func (c *catalogue) MarkUnverified(_ context.Context, key state.Key, storage string) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marked = append(c.marked, fmt.Sprintf("%s %q on %q", key.VirtualStorage, key.RelativePath, storage))
	return 2, c.err
}

// lost makes it fail as if Postgres was away.
func (c *catalogue) lost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.New("postgres is stopped")
}
