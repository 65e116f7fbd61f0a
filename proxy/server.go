package proxy

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"praefect/fsm/state"
	"praefect/proxy/channel"
	"praefect/proxy/check"
	"praefect/proxy/clientconn"
	"praefect/proxy/ledger"
	"praefect/proxy/measure"
	"praefect/proxy/method"
	"praefect/proxy/router"
	"praefect/proxy/secure"
	"praefect/proxy/storage"
	"praefect/proxy/stream"
	"praefect/proxy/throttle"
	"praefect/proxy/tracing"
	"praefect/proxy/transaction"
)

// Node is the consensus node, as far as the proxy needs it.
type Node interface {
	// View is the replicated state as this instance has applied it.
	View() *state.State
}

// Storages are the connections to the storages.
type Storages interface {
	// Conn is the verified connection to a storage, or why there is none.
	Conn(virtualStorage, storage string) (*storage.Conn, error)
}

// Deps are the parts that a Server works on. All are needed but Peers, Methods,
// Checks, Touched and Register.
type Deps struct {
	Node     Node
	Storages Storages
	Ledger   *ledger.Ledger
	// Transactions takes the votes of the storages; see VoteServer.
	Transactions *transaction.Manager
	// Peers lists the other instances, to which reads are passed on while this
	// one has no lease. It may be nil, and must not block.
	Peers  func() []Peer
	Logger *slog.Logger
	// Methods are the known methods; nil stands for the table that is compiled in.
	Methods *method.Table
	// Checks are the checks that ReadinessCheck runs.
	Checks []check.Check
	// Touched is told of repositories that a call may have created or removed. It
	// must not block.
	Touched func(state.Key)
	// Fails is told of repositories of which the primary fails writes that other storages
	// could do, time and again. It must not block.
	Fails func(key state.Key, primary, why string)
	// Register adds services that this instance answers itself.
	Register func(grpc.ServiceRegistrar)
}

// Config sets the demands of a Server on its clients, and how long it waits.
type Config struct {
	Auth Auth
	// WriteTimeout is the deadline of a write whose client sent none: every
	// write has one, because an effect that may still come must have an end.
	WriteTimeout time.Duration
	// Eventual has every write go to its primary alone. Otherwise all storages that are in sync
	// vote on writes, where they can vote.
	Eventual bool
	// Copies is how many storages must agree on a write that is voted on, if the
	// virtual storage has so many; beside a majority of the in-sync storages. Block
	// has a write aborted on which fewer agree.
	Copies int
	Block  bool
	// VoteTimeout is how long a write that is voted on waits for storages that live, or if
	// fewer than Copies agree; see transaction. 12 s if zero.
	VoteTimeout time.Duration
	// RefuseReads has reads refused while this instance has no lease and reaches
	// no peer that has one; otherwise they are served by its last view, and marked.
	RefuseReads bool
	// RefuseConflicts has reads of a repository in conflict refused, as the ledger refuses
	// its writes.
	RefuseConflicts bool
	// InfoTimeout bounds the calls that the proxy makes to storages on its own account; 10 s
	// if zero.
	InfoTimeout time.Duration
	// Streams is how many calls one connection may have under way; 1,000 if zero.
	Streams uint32
	// Connections is how many connections of clients may be open; see clientconn.
	Connections int
	// Writes bounds the writes under way.
	Writes throttle.Config
	// SendStall is how long a client may take nothing of a stream before the call is
	// ended; 10 min if zero.
	SendStall time.Duration
	// LatencyBuckets are the buckets of grpc_server_handling_seconds.
	LatencyBuckets []float64
	// FailsFor is for how long a repository's primary must fail writes that other storages
	// could do before Deps.Fails is told; 30 s if zero.
	FailsFor time.Duration
	// Channels are the sizes of the channels that share a connection of a client with its calls.
	Channels channel.Config
	// Tracer makes spans of calls; nil for none.
	Tracer *tracing.Tracer
	// Frames has reads that need only their first message looked at forwarded as frames, past gRPC's
	// server, where the storages have connections for frames. A Tracer sees nothing of them.
	Frames bool
	// Calls counts the calls to storages that go past gRPC; nil for no count.
	Calls *measure.Client
	// Failpoint is called after each step of a write with its name; crash tests end
	// the process there. It may be nil.
	Failpoint func(name string)
}

const (
	// defaultStreams is the default of Config.Streams.
	defaultStreams = 1000
	// handshakeTimeout bounds all that comes before the first call of a connection,
	// TLS too.
	handshakeTimeout = 10 * time.Second
	// maxHeader bounds the headers of a call, of which GitLab's clients send a few KiB.
	maxHeader = 128 << 10
	// pingMinTime is how often a client may ping. GitLab's clients ping every 20 s; more than one in 10 s
	// is abuse.
	pingMinTime = 10 * time.Second
)

// keptLimit bounds the bytes that all writes under way keep of their requests to send them again.
const keptLimit = 64 << 20

// streamWorkers is how many goroutines of a listener wait for calls.
const streamWorkers = 64

// Server answers gRPC calls on any number of listeners.
type Server struct {
	node     Node
	storages Storages
	ledger   *ledger.Ledger
	votes    *transaction.Manager
	throttle *throttle.Throttle
	resumed  resumption
	peers    *peers
	log      *slog.Logger
	checks   []check.Check
	touched  func(state.Key)
	fails    func(key state.Key, primary, why string)
	failing  failing
	register func(grpc.ServiceRegistrar)
	cfg      Config
	auth     atomic.Pointer[Auth]
	metrics  *metrics
	methods  *method.Table
	plain    map[string]plain // the methods whose calls may go past gRPC's server
	health   *health.Server
	clients  *clientconn.Set

	rejections sampler // lines about calls that were rejected for their headers
	takenBacks sampler // lines about calls that were given up before they began

	forwarder stream.Forwarder
	kept      stream.Budget // requests that may be sent to secondaries again

	mu      sync.Mutex
	servers []*grpc.Server // guarded by mu
	stopped bool           // guarded by mu
}

// New makes a Server whose metrics are registered with r.
func New(deps Deps, r prometheus.Registerer, cfg Config) (*Server, error) {
	if deps.Methods == nil {
		var err error
		if deps.Methods, err = method.New(); err != nil {
			return nil, err
		}
	}
	if cfg.Streams == 0 {
		cfg.Streams = defaultStreams
	}
	if cfg.SendStall == 0 {
		cfg.SendStall = 10 * time.Minute
	}
	if cfg.InfoTimeout == 0 {
		cfg.InfoTimeout = 10 * time.Second
	}
	if deps.Peers == nil {
		deps.Peers = func() []Peer { return nil }
	}
	if deps.Touched == nil {
		deps.Touched = func(state.Key) {}
	}
	if deps.Fails == nil {
		deps.Fails = func(state.Key, string, string) {}
	}
	if cfg.FailsFor == 0 {
		cfg.FailsFor = failsFor
	}
	if deps.Register == nil {
		deps.Register = func(grpc.ServiceRegistrar) {}
	}
	s := &Server{
		node:     deps.Node,
		storages: deps.Storages,
		ledger:   deps.Ledger,
		votes:    deps.Transactions,
		throttle: throttle.New(cfg.Writes, r),
		peers:    newPeers(deps.Peers, deps.Logger, cfg.Channels),
		log:      deps.Logger,
		checks:   deps.Checks,
		touched:  deps.Touched,
		fails:    deps.Fails,
		register: deps.Register,
		cfg:      cfg,
		metrics:  newMetrics(r, cfg.LatencyBuckets),
		methods:  deps.Methods,
		health:   health.NewServer(),
		clients:  clientconn.NewSet(clientconn.Config{Limit: cfg.Connections, Trusting: cfg.Auth.Token == "", Logger: deps.Logger}),
	}
	r.MustRegister(failingCollector{s})
	s.plain = s.plainMethods()
	s.SetAuth(cfg.Auth)
	s.kept.Limit = keptLimit
	return s, nil
}

// SetAuth has calls that begin from now on prove another secret.
func (s *Server) SetAuth(a Auth) { s.auth.Store(&a) }

// Serve accepts connections until Shutdown. kind is "tcp", "tls" or "unix",
// for the metric; creds is nil for a listener without TLS.
func (s *Server) Serve(lis net.Listener, kind string, creds credentials.TransportCredentials) error {
	if creds != nil {
		creds = secure.Watched(creds, s.log.With("address", lis.Addr().String()), s.metrics.refused.WithLabelValues(kind).Inc)
	}
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(stream.Codec{}),
		grpc.UnknownServiceHandler(s.direct),
		grpc.ChainUnaryInterceptor(s.metrics.grpc.Unary, s.observeUnary),
		grpc.ChainStreamInterceptor(s.measureStream, s.observeStream),
		// The cost of a client before it has shown the token is bounded here; see
		// docs/security.md.
		grpc.InTapHandle(s.tap),
		grpc.MaxConcurrentStreams(s.cfg.Streams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeader),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingMinTime, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 5 * time.Minute}),
		grpc.InitialWindowSize(1 << 20),
		grpc.InitialConnWindowSize(16 << 20),
		// Goroutines that have grown their stacks already serve most calls; a call
		// that finds none of them free gets its own.
		grpc.NumStreamWorkers(streamWorkers),
		grpc.ReadBufferSize(128 << 10),
		grpc.WriteBufferSize(128 << 10),
		grpc.Creds(s.accepting(creds)),
	}
	server := grpc.NewServer(append(opts, s.cfg.Tracer.ServerOptions()...)...)
	healthpb.RegisterHealthServer(server, healthService{Server: s.health, ledger: s.ledger})
	server.RegisterService(serverServiceDesc(), serverService{server: s})
	s.register(server)
	reflection.Register(server)

	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		server.Stop() // its workers wait already
		return lis.Close()
	}
	s.servers = append(s.servers, server)
	s.mu.Unlock()
	return server.Serve(s.clients.Listener(lis, s.metrics.connections.WithLabelValues(kind).Inc))
}

// accepting are the credentials of a listener; creds is nil for one without TLS.
func (s *Server) accepting(creds credentials.TransportCredentials) credentials.TransportCredentials {
	// Workhorse and gitlab-shell get the data of a fetch beside their calls.
	beside := channel.NewServerCredentials(creds, s.cfg.Channels)
	if !s.cfg.Frames {
		return beside
	}
	return fronted{TransportCredentials: beside, server: s, tls: creds != nil}
}

// lingerAtStop is how long storages have at the end of a Shutdown to abort the calls that they were
// told to abort.
const lingerAtStop = 2 * time.Second

// Shutdown stops accepting, tells clients to go elsewhere, and waits for the
// calls under way until ctx ends; then it cuts them off.
func (s *Server) Shutdown(ctx context.Context) {
	s.health.Shutdown()
	s.mu.Lock()
	s.stopped = true
	servers := s.servers
	s.mu.Unlock()

	var wg sync.WaitGroup
	for _, server := range servers {
		wg.Go(func() {
			stop := context.AfterFunc(ctx, server.Stop)
			defer stop()
			server.GracefulStop()
		})
	}
	// Diverted calls keep their connections, and gRPC's server waits for these but cannot cut them off.
	cut := context.AfterFunc(ctx, s.clients.Close)
	wg.Wait()
	cut()
	s.forwarder.Wait(lingerAtStop)
	s.votes.Wait()
	s.peers.close()
}

// reachabilityOf looks at the connections of one virtual storage for the router.
func (s *Server) reachabilityOf(virtualStorage string) router.ReachabilityOf {
	return func(name string) router.Reachability {
		conn, err := s.storages.Conn(virtualStorage, name)
		if err != nil {
			return router.Reachability{Why: err}
		}
		return router.Reachability{OK: true, FilesystemID: conn.FilesystemID(), Backchannel: conn.Backchannel(), Outstanding: conn.Outstanding()}
	}
}

// lively tells whether a storage was heard lately.
func (s *Server) lively(virtualStorage, name string) bool {
	conn, err := s.storages.Conn(virtualStorage, name)
	return err == nil && !conn.Silent()
}

// hangs tells whether a write waits for a primary: for one that was not heard lately, or for any.
func (s *Server) hangs(r *request) bool {
	primary := r.primary.Load()
	return primary == nil || !s.lively(r.keys[0].VirtualStorage, *primary)
}

func (s *Server) intn(n int) int { return rand.IntN(n) }
