package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/test/bufconn"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/measure"
	"praefect/proxy/method"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/transaction"
	"praefect/test/gitaly/memory"
	"praefect/test/must"
)

func TestMain(m *testing.M) {
	playRole()
	goleak.VerifyTestMain(m)
}

const (
	clientToken  = "outside"
	storageToken = "inside"
	zeroOID      = "0000000000000000000000000000000000000000"
)

// framesOn has the fixtures forward reads as frames, as instances do by default; forwardsFrames sets it
// for a test, the variable of the environment for all.
var framesOn = os.Getenv("PRAEFECT_TEST_FRAMES") != "off"

// fixture is one instance in front of real storage servers (in memory), with the
// replicated state applied at once, as a cluster of one does.
type fixture struct {
	t        *testing.T
	server   *Server
	node     *node
	session  *session
	storages map[string]*backend // by storage name
	conn     *grpc.ClientConn    // a client with the right token
	dial     func(context.Context, string) (net.Conn, error)

	sent     *sent
	registry *prometheus.Registry
	address  string        // where the instance listens on TCP
	grace    time.Duration // of its end
	// options are those of the calls that drive makes.
	options []grpc.CallOption

	mu      sync.Mutex
	behind  []state.Key // what was given to be repaired; guarded by mu
	touched []state.Key // what may have been created or removed; guarded by mu
	peers   []Peer      // guarded by mu
}

// sent notes which method was sent to which address.
type sent struct {
	stats.Handler
	mu    sync.Mutex
	count map[[2]string]int // by method and address; guarded by mu
}

func (s *sent) HandleRPC(ctx context.Context, event stats.RPCStats) {
	if header, ok := event.(*stats.OutHeader); ok {
		s.mu.Lock()
		s.count[[2]string{header.FullMethod, header.RemoteAddr.String()}]++
		s.mu.Unlock()
	}
	s.Handler.HandleRPC(ctx, event)
}

// to is how often a method was sent to a storage.
func (w *fixture) to(method, storage string) int {
	w.sent.mu.Lock()
	defer w.sent.mu.Unlock()
	return w.sent.count[[2]string{method, w.storages[storage].address}]
}

// backend is one storage server and what it was asked.
type backend struct {
	*memory.Server // nil for one of another kind
	serve          func(context.Context, net.Listener) error
	address        string
	roots          *x509.CertPool // of its certificate; nil if it is reached without TLS
	voice          sync.RWMutex   // locked to mute it

	mu    sync.Mutex
	calls []memory.Call // without the proxy's own probes; guarded by mu
	hook  memory.Hook   // guarded by mu
}

func (b *backend) asked() []memory.Call {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]memory.Call(nil), b.calls...)
}

func (b *backend) setHook(h memory.Hook) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hook = h
}

func (b *backend) ask(ctx context.Context, call memory.Call) (bool, error) {
	if call.Method == gitalypb.ServerService_ServerInfo_FullMethodName {
		return true, nil
	}
	b.mu.Lock()
	b.calls = append(b.calls, call)
	hook := b.hook
	b.mu.Unlock()
	if hook != nil {
		return hook(ctx, call)
	}
	return true, nil
}

// newFixture starts three storages of the virtual storage "default", the first
// one its primary, all serving, in memory.
func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureOf(t, newBackend, false)
}

// newVotingFixture is newFixture with storages of another kind, over connections on
// which they can vote.
func newVotingFixture(t *testing.T, newBackend func(*testing.T, string) *backend) *fixture {
	t.Helper()
	return newFixtureOf(t, newBackend, true)
}

func newFixtureOf(t *testing.T, newBackend func(*testing.T, string) *backend, voting bool) *fixture {
	t.Helper()
	return newFixtureSet(t, newBackend, voting, Config{})
}

// newFixtureWith is newFixture with other settings of the server.
func newFixtureWith(t *testing.T, cfg Config) *fixture {
	t.Helper()
	return newFixtureSet(t, newBackend, false, cfg)
}

func newFixtureSet(t *testing.T, newBackend func(*testing.T, string) *backend, voting bool, cfg Config) *fixture {
	t.Helper()
	return newFixtureOfMethods(t, newBackend, voting, cfg, nil)
}

// newFixtureOfMethods is newFixtureSet with another table of methods than the compiled-in one.
func newFixtureOfMethods(t *testing.T, newBackend func(*testing.T, string) *backend, voting bool, cfg Config, methods *method.Table) *fixture {
	t.Helper()
	cfg.Auth, cfg.WriteTimeout, cfg.Frames = Auth{Token: clientToken}, time.Minute, framesOn
	w := &fixture{
		registry: prometheus.NewRegistry(),
		t:        t, node: newNode(), session: newSession(), storages: make(map[string]*backend),
		sent: &sent{Handler: stream.StatsHandler{}, count: make(map[[2]string]int)},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	cfg.Calls = measure.NewClient(w.registry, nil)
	connections := storage.Config{DialOptions: append(cfg.Calls.DialOptions(), grpc.WithStatsHandler(w.sent)), Frames: framesOn}
	names := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	var targets []storage.Target
	for _, name := range names {
		b := newBackend(t, name)
		w.storages[name] = b
		running.Go(b.run(t, ctx))
		scheme := "tcp://"
		if b.roots != nil {
			scheme, connections.TLS = "tls://", &tls.Config{RootCAs: b.roots}
		}
		targets = append(targets, storage.Target{VirtualStorage: "default", Storage: name, Address: scheme + b.address, Token: storageToken})
	}
	votes := transaction.NewManager(w.node.Incarnation, slog.New(slog.DiscardHandler), nil)
	if voting {
		connections.Backchannel = VoteServer(votes, framesOn)
	}
	set, err := storage.New(targets, slog.New(slog.DiscardHandler), storage.NewMetrics(prometheus.NewRegistry()), connections)
	must.Succeed(t, err)
	running.Go(func() { set.Run(ctx) })

	l := ledger.New(w.node, w.session, Connections(set), ledger.Config{
		Linger: 50 * time.Millisecond, QueueTimeout: time.Second, QueueLimit: 10, LeaseWait: 5 * time.Second,
		RefuseConflicts: cfg.RefuseConflicts,
		Behind: func(keys ...state.Key) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.behind = append(w.behind, keys...)
		},
	})
	running.Go(func() { l.Run(ctx) })

	w.server, err = New(Deps{
		Node: w.node, Storages: set, Ledger: l, Logger: slog.New(slog.DiscardHandler),
		Transactions: votes, Methods: methods,
		Touched: func(key state.Key) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.touched = append(w.touched, key)
		},
		Peers: func() []Peer {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.peers
		},
	}, w.registry, cfg)
	must.Succeed(t, err)
	lis := bufconn.Listen(1 << 20)
	w.dial = func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }
	running.Go(func() {
		if err := w.server.Serve(lis, "tcp", nil); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	public, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	w.address, w.grace = public.Addr().String(), 5*time.Second
	running.Go(func() {
		if err := w.server.Serve(public, "tcp", nil); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), w.grace)
		defer cancel()
		w.server.Shutdown(ctx)
	})
	w.conn = w.client(storage.Credentials(clientToken))
	w.defineServing(set, names)
	return w
}

// client dials the instance with the given credentials.
func (w *fixture) client(creds credentials.PerRPCCredentials) *grpc.ClientConn {
	opts := []grpc.DialOption{grpc.WithContextDialer(w.dial), grpc.WithTransportCredentials(insecure.NewCredentials())}
	if creds != nil {
		opts = append(opts, grpc.WithPerRPCCredentials(creds))
	}
	conn, err := grpc.NewClient("passthrough:///praefect", opts...)
	must.Succeed(w.t, err)
	w.t.Cleanup(func() { conn.Close() })
	return conn
}

func newBackend(t *testing.T, name string) *backend {
	t.Helper()
	return newBackendOf(t, name, "")
}

// newBackendOf is one of a release of Gitaly; empty: the usual one.
func newBackendOf(t *testing.T, name, release string) *backend {
	t.Helper()
	b := &backend{}
	server, err := memory.New(memory.Config{Release: release, Storages: []string{name}, Token: storageToken, BlobSize: 64 << 10, Hook: b.ask})
	must.Succeed(t, err)
	b.Server, b.serve = server, server.Run
	return b
}

// run listens now and returns what serves until ctx ends.
func (b *backend) run(t *testing.T, ctx context.Context) func() {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	must.Succeed(t, err)
	b.address = lis.Addr().String()
	return func() {
		if err := b.serve(ctx, mutedListener{lis, b}); err != nil {
			t.Errorf("storage: %v", err)
		}
	}
}

// defineServing brings the virtual storage to its first rest: all reached, all
// serving.
func (w *fixture) defineServing(set *storage.Set, names []string) {
	w.t.Helper()
	w.node.must(w.t, state.Command{Define: &state.Define{VirtualStorage: "default", Storages: names}})
	for _, name := range names {
		var id string
		w.eventually(func() error {
			conn, err := set.Conn("default", name)
			if err == nil {
				id = conn.FilesystemID()
			}
			if err == nil && framesOn {
				if _, _, ok := conn.Divert(""); !ok {
					return errors.New("there is no connection for frames yet")
				}
				conn.Diverted()
			}
			return err
		})
		w.node.must(w.t, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: id}})
		if s := w.node.View().VirtualStorage("default").Storage(name); s.State == state.Backfilling {
			w.node.must(w.t, state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: name, Since: s.Since}})
			w.node.must(w.t, state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: id, Backfilled: s.Since}})
		}
	}
}

// eventually repeats check until it passes, for at most 30 s.
func (w *fixture) eventually(check func() error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			w.t.Fatalf("never came true: %v", err)
		case <-tick.C:
		}
	}
}

// untouched fails the test if any storage was asked for anything, or if the
// ledger knows of anything.
func (w *fixture) untouched() {
	w.t.Helper()
	for name, b := range w.storages {
		if calls := b.asked(); len(calls) > 0 {
			w.t.Errorf("storage %q was asked: %+v", name, calls)
		}
	}
	if n := w.node.View().Len(); n != 0 {
		w.t.Errorf("the ledger has %d entries", n)
	}
	if writes, intents := w.server.ledger.InFlight(); writes+intents != 0 {
		w.t.Errorf("in flight: %d writes, %d intents", writes, intents)
	}
}

func (w *fixture) repaired() []state.Key {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]state.Key(nil), w.behind...)
}

func repository(path string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: "default", RelativePath: path}
}

// create makes a repository through the instance and waits until its intent has
// closed.
func (w *fixture) create(path string) {
	w.t.Helper()
	if _, err := gitalypb.NewRepositoryServiceClient(w.conn).CreateRepository(w.t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository(path)}); err != nil {
		w.t.Fatalf("create %q: %v", path, err)
	}
	w.closed(path)
}

func (w *fixture) closed(path string) {
	w.t.Helper()
	w.eventually(func() error {
		if w.node.View().Entry(state.Key{VirtualStorage: "default", RelativePath: path}).HasLive() {
			return errors.New("the intent is still live")
		}
		return nil
	})
}

// node applies commands to a real state at once.
type node struct {
	mu      sync.Mutex
	changed chan struct{} // guarded by mu
	state   *state.State
	inc     state.Incarnation
	number  uint64
}

func newNode() *node {
	n := &node{state: &state.State{}, changed: make(chan struct{})}
	n.inc = n.apply(state.Command{Register: &state.Register{ID: "a", Name: "praefect-1", ClusterID: "c"}})[0].Incarnation
	return n
}

func (n *node) apply(cmds ...state.Command) []state.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.number++
	next, results := n.state.Apply(n.state.Index+1, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint("r", n.number), Incarnation: n.inc, Number: n.number, Commands: cmds,
	})
	n.state = next
	close(n.changed)
	n.changed = make(chan struct{})
	return results
}

func (n *node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *node) Incarnation() state.Incarnation { return n.inc }

func (n *node) View() *state.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *node) Propose(_ context.Context, cmds ...state.Command) ([]state.Result, error) {
	return n.apply(cmds...), nil
}

func (n *node) must(t *testing.T, cmds ...state.Command) {
	t.Helper()
	for _, result := range n.apply(cmds...) {
		if result.Refusal != nil {
			t.Fatal(result.Refusal)
		}
	}
}
