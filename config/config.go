package config

import (
	"crypto/tls"
	"log/slog"
	"strings"
)

// Config is everything an operator may set. A value that Load, Read or Parse
// returned is complete and valid; it may be printed and logged, since its
// secrets hide themselves.
type Config struct {
	// ListenAddr is the host:port for clients without TLS; upstream's "tcp://"
	// before it is removed. Default: no such listener.
	ListenAddr string `toml:"listen_addr"`
	// TLSListenAddr is the host:port for clients with TLS; "tls://" before it is
	// removed. It needs the [tls] section. Default: no such listener.
	TLSListenAddr string `toml:"tls_listen_addr"`
	// SocketPath is the Unix socket for clients; "unix:" before it is removed.
	// Default: no such listener.
	SocketPath string `toml:"socket_path"`
	// PrometheusListenAddr is the host:port of /metrics, /livez and /readyz.
	// Default: not served.
	PrometheusListenAddr string `toml:"prometheus_listen_addr"`
	// GracefulStopTimeout bounds how long a stopping instance waits for running
	// calls before it cuts them off. Default 1m; 0 = cut off at once.
	GracefulStopTimeout Duration `toml:"graceful_stop_timeout"`
	// DrainWait is how long a stopping instance fails readiness before it stops
	// accepting: at least two checks of the load balancer. Default 0s, which is
	// right for an instance that stands alone.
	DrainWait Duration `toml:"drain_wait"`
	// MethodDescriptors are files with the methods of a Gitaly that is newer than this program, as
	// protoc --descriptor_set_out --include_imports writes them. They may add methods, and must not
	// contradict the known ones. Default: none.
	MethodDescriptors []string `toml:"method_descriptors"`
	// ConfigCommand is an executable, run once at start without arguments; the
	// JSON object that it prints is laid over this file: tables are merged key
	// by key, anything else, arrays too, is replaced. Default: none.
	ConfigCommand string `toml:"config_command"`
	// ConfigCommandTimeout bounds the run of ConfigCommand. Default 30s.
	ConfigCommandTimeout Duration `toml:"config_command_timeout"`

	// TLS is the certificate shown to clients on TLSListenAddr.
	TLS TLS `toml:"tls"`
	// Auth is the proof that clients must present.
	Auth Auth `toml:"auth"`
	// Logging is the form and amount of the log.
	Logging Logging `toml:"logging"`
	// Prometheus shapes the metrics.
	Prometheus Prometheus `toml:"prometheus"`
	// Tracing sends traces of calls to a collector of OpenTelemetry.
	Tracing Tracing `toml:"tracing"`
	// Database is the Postgres that holds the queue of repair work.
	Database Database `toml:"database"`
	// Failover says whether a dead primary is replaced without an operator.
	Failover Failover `toml:"failover"`
	// Replication is the pace and the bounds of repair work.
	Replication Replication `toml:"replication"`
	// Reconciliation is the search for repair work that has no job.
	Reconciliation Reconciliation `toml:"reconciliation"`
	// BackgroundVerification is how often replicas are compared with their primary.
	BackgroundVerification BackgroundVerification `toml:"background_verification"`
	// Consistency is the promise of an acknowledged write and an answered read.
	Consistency Consistency `toml:"consistency"`
	// Detection is how the health of storages is observed.
	Detection Detection `toml:"detection"`
	// Yamux bounds the channels multiplexed on one connection.
	Yamux Yamux `toml:"yamux"`
	// Limits bound the resources that clients may use.
	Limits Limits `toml:"limits"`
	// Forwarding is the way in which calls reach storages.
	Forwarding Forwarding `toml:"forwarding"`
	// Raft is this instance's part in the replicated state.
	Raft Raft `toml:"raft"`
	// Admin is the proof that an operator must present to change the cluster.
	Admin Admin `toml:"admin"`
	// Console is the web console for operators.
	Console Console `toml:"console"`
	// VirtualStorages are the names that clients use, each with its storages.
	// At least one.
	VirtualStorages []VirtualStorage `toml:"virtual_storage"`

	// Ignored are the keys of the text that upstream knows and this project has
	// no use for, in the order of the text. The daemon names each once at start.
	Ignored []Ignored `toml:"-"`
	// Warnings are usable settings that an operator should look at, keys that this version does not
	// know among them. The daemon names each once at start, and counts the unknown keys in a
	// metric.
	Warnings []Warning `toml:"-"`
}

// TLS is the certificate of the listener with TLS.
type TLS struct {
	// CertificatePath is a PEM file: the certificate, then its intermediates.
	CertificatePath string `toml:"certificate_path"`
	// KeyPath is the PEM file of the certificate's private key.
	KeyPath string `toml:"key_path"`
	// Key is the private key itself, in PEM, in place of KeyPath.
	Key Secret `toml:"key"`
	// MinVersion is the oldest TLS that clients may speak: "1.2" or "1.3", also
	// in upstream's form "TLS 1.2". Default "1.2".
	MinVersion string `toml:"min_version"`
}

// MinVersionID returns MinVersion as crypto/tls names it, never below TLS 1.2.
func (t TLS) MinVersionID() uint16 {
	if t.MinVersion == "1.3" {
		return tls.VersionTLS13
	}
	return tls.VersionTLS12
}

// Auth is the secret shared with clients.
type Auth struct {
	// Token is the secret. Default: none, and then every client is let in.
	Token Secret `toml:"token"`
	// TokenFile is a file that holds the token, in place of Token.
	TokenFile string `toml:"token_file"`
	// PreviousToken is accepted from clients beside Token, for the time in which
	// a token is replaced. Default: none.
	PreviousToken Secret `toml:"previous_token"`
	// PreviousTokenFile is a file that holds it, in place of PreviousToken.
	PreviousTokenFile string `toml:"previous_token_file"`
	// Transitioning lets clients with a wrong or missing token in, but counts
	// them, so that a token can be introduced without an outage. Default false.
	Transitioning bool `toml:"transitioning"`
}

// Logging is the form and amount of the log.
type Logging struct {
	// Format is "text" or "json". Default "text".
	Format string `toml:"format"`
	// Level is "debug", "info", "warn" or "error"; upstream's other names mean
	// the nearest of these. Default "info".
	Level string `toml:"level"`
}

// SlogLevel returns Level as slog knows it.
func (l Logging) SlogLevel() slog.Level {
	level, _ := slogLevel(l.Level)
	return level
}

// slogLevel returns the level of a name, and whether there is such a level.
func slogLevel(name string) (slog.Level, bool) {
	switch strings.ToLower(name) {
	case "trace", "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn", "warning":
		return slog.LevelWarn, true
	case "error", "fatal", "panic":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// Prometheus shapes the metrics.
type Prometheus struct {
	// PProf serves /debug/pprof beside /metrics: profiles of the process, for everyone that reaches
	// that port. Default false.
	PProf bool `toml:"pprof"`
	// ScrapeTimeout bounds the queries of a scrape to Postgres. Default 10s.
	ScrapeTimeout Duration `toml:"scrape_timeout"`
	// GRPCLatencyBuckets are the upper bounds, in seconds and rising, of the
	// histogram of call times. Default upstream's, from 1ms to 25min.
	GRPCLatencyBuckets []float64 `toml:"grpc_latency_buckets"`
}

// Tracing sends traces of calls to a collector of OpenTelemetry, over OTLP on gRPC.
type Tracing struct {
	// OTLPEndpoint is the collector's host:port. Default: none, and no traces.
	OTLPEndpoint string `toml:"otlp_endpoint"`
	// Insecure speaks to the collector without TLS. Default false.
	Insecure bool `toml:"insecure"`
	// SampleRatio is which share of the calls is traced, from 0 to 1, where the client does not say
	// whether to trace. Default 0.01.
	SampleRatio float64 `toml:"sample_ratio"`
}

// Yamux bounds the channels multiplexed on one connection: those to storages,
// and those of clients that speak the backchannel.
type Yamux struct {
	// MaximumStreamWindowSizeBytes is how much one channel may have in flight,
	// in bytes. Default and minimum 262144; clients may have 16 MiB in any case,
	// because all their calls share one channel.
	MaximumStreamWindowSizeBytes uint32 `toml:"maximum_stream_window_size_bytes"`
	// AcceptBacklog is how many channels of a connection may wait to be accepted. Default 256,
	// minimum 1.
	AcceptBacklog int `toml:"accept_backlog"`
}

// Limits bound the resources that clients may use; see docs/security.md.
type Limits struct {
	// MaxConcurrentStreams is how many calls one connection may have under way; more
	// wait at the client. Default 1000.
	MaxConcurrentStreams uint32 `toml:"max_concurrent_streams"`
	// MaxConnections is how many connections clients may have open. It is never more
	// than three quarters of the files that the process may open. When it is reached
	// the oldest connection that has shown no token is dropped. Default 10000.
	MaxConnections int `toml:"max_connections"`
	// MaxConcurrentWrites is how many writes of each virtual storage this instance has at work at a
	// time, at most: the number shrinks by itself while writes take a large part of their clients'
	// deadlines. More wait. Default 256, minimum 1.
	MaxConcurrentWrites int `toml:"max_concurrent_writes"`
	// MaxWaitingWrites is how many writes of each virtual storage wait for that; those beyond it,
	// and those whose deadline would pass before their end, are answered UNAVAILABLE at once.
	// Default 1000, minimum 1.
	MaxWaitingWrites int `toml:"max_waiting_writes"`
	// SendStallTimeout ends a call whose client takes nothing of a stream for so long.
	// Default 10m.
	SendStallTimeout Duration `toml:"send_stall_timeout"`
}

// Forwarding is the way in which calls reach storages.
type Forwarding struct {
	// Frames has reads of a repository forwarded as HTTP/2 frames: the processor time of a read is a fraction
	// of the time on gRPC's streams. It takes one more connection to each storage, and has no effect
	// on reads with tracing.otlp_endpoint. Votes of storages are answered as frames too. Default true.
	Frames bool `toml:"frames"`
}

// Admin is the secret of operators.
type Admin struct {
	// Token is the secret. Default: none, and then changes are accepted on the
	// Unix socket, and from tools that can read raft.data_dir.
	Token Secret `toml:"token"`
	// TokenFile is a file that holds the token, in place of Token.
	TokenFile string `toml:"token_file"`
}
