package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"praefect/proxy/admin"
)

// Cluster is the cluster that the console asks and changes; [admin.Client] is one.
type Cluster interface {
	Status(ctx context.Context, request admin.StatusRequest) (admin.StatusResponse, error)
	RaftStatus(ctx context.Context) (admin.RaftStatusResponse, error)
	History(ctx context.Context, request admin.HistoryRequest) (admin.HistoryResponse, error)
	Dataloss(ctx context.Context, request admin.DatalossRequest) (admin.DatalossResponse, error)
	Repositories(ctx context.Context, request admin.RepositoriesRequest) (admin.RepositoriesResponse, error)
	QueueList(ctx context.Context, request admin.QueueListRequest) (admin.QueueListResponse, error)
	Explain(ctx context.Context, request admin.ExplainRequest) (admin.ExplainResponse, error)
	Verify(ctx context.Context, request admin.VerifyRequest) (admin.VerifyResponse, error)
	RequestVerification(ctx context.Context, request admin.RequestVerificationRequest) (admin.RequestVerificationResponse, error)
	TransferLeadership(ctx context.Context, request admin.TransferRequest) (admin.Done, error)
	admin.Switching
	admin.Overriding
}

// Tokens are the secrets that open the console.
type Tokens struct {
	// Read are the tokens of clients: they open the pages. Empty ones open nothing.
	Read []string
	// Act is that of operators: it also allows changes. Empty: nothing can be changed here.
	Act string
}

// Config has the facts about its instance that the console needs.
type Config struct {
	// Instance is its name.
	Instance string
	// Version is that of the program.
	Version string
	// Hosts are the names, beside localhost and every address, under which browsers may come.
	Hosts []string
	// Secure tells that the listener speaks TLS: then cookies are for TLS only.
	Secure bool
	// Tokens returns the secrets that are valid now.
	Tokens func() Tokens
	// Log gets a line for each login; nil for none.
	Log *slog.Logger
}

// Bounds of the server.
const (
	maxConnections = 128
	maxHeader      = 16 << 10
	maxBody        = 16 << 10
	headerTimeout  = 5 * time.Second
	readTimeout    = 10 * time.Second
	writeTimeout   = 10 * time.Second // of one answer, or one event of a stream
	idleTimeout    = 30 * time.Second
	stopTimeout    = 2 * time.Second
	askTimeout     = 10 * time.Second // of one question to the cluster
)

// Console serves the pages.
type Console struct {
	cfg      Config
	cluster  func(adminToken string) Cluster
	sessions *sessions
	attempts *attempts
	feed     *feed
	assets   *assets
}

// New makes a Console. cluster returns the cluster as seen by a caller that proves to know the
// admin token; an empty one proves nothing and may only ask.
func New(cluster func(adminToken string) Cluster, cfg Config) (*Console, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	return &Console{
		cfg: cfg, cluster: cluster, sessions: newSessions(), attempts: newAttempts(), feed: newFeed(cluster("")), assets: files,
	}, nil
}

// Run serves the console at a listener until ctx ends.
func (c *Console) Run(ctx context.Context, listener net.Listener) error {
	server := &http.Server{
		Handler:           c.Handler(ctx),
		MaxHeaderBytes:    maxHeader,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(c.cfg.Log.Handler(), slog.LevelDebug),
	}
	feeding := make(chan struct{})
	go func() {
		defer close(feeding)
		c.feed.run(ctx)
	}()
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(listener, maxConnections)) }()
	select {
	case err := <-ended:
		return err // with the process, which ends ctx
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := server.Shutdown(stopping)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close() // a browser that takes nothing is no reason to end badly
	}
	<-ended
	<-feeding
	return err
}

// Handler answers requests; streams end with life.
func (c *Console) Handler(life context.Context) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /", c.assets)
	mux.HandleFunc("POST /api/login", c.login)
	mux.HandleFunc("POST /api/logout", c.changing(c.logout))
	mux.HandleFunc("GET /api/session", c.reading(c.session))
	mux.HandleFunc("GET /api/stream", c.reading(func(w http.ResponseWriter, r *http.Request, s *session) { c.stream(life, w, r, s) }))
	mux.HandleFunc("GET /api/repositories", c.reading(c.repositories))
	mux.HandleFunc("GET /api/explain", c.reading(c.explain))
	mux.HandleFunc("GET /api/queue", c.reading(c.queue))
	mux.HandleFunc("GET /api/history", c.reading(c.history))
	mux.HandleFunc("POST /api/plan", c.changing(c.plan))
	mux.HandleFunc("POST /api/act", c.changing(c.act))
	return c.guard(mux)
}
