package proxy

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"praefect/proxy/clientconn"
	"praefect/proxy/measure"
)

// metrics are the proxy's own; names that upstream has are kept, because
// dashboards know them.
type metrics struct {
	grpc          *measure.Server
	connections   *prometheus.CounterVec
	refused       *prometheus.CounterVec
	methods       *prometheus.CounterVec
	reads         *prometheus.CounterVec
	retriedReads  *prometheus.CounterVec
	authenticated *prometheus.CounterVec
	unleased      *prometheus.CounterVec
	frames        *prometheus.CounterVec
	panics        prometheus.Counter
	clients       *clientRequests
	replications  *prometheus.CounterVec
	unwritten     *prometheus.CounterVec
	sentAgain     prometheus.Counter
}

func newMetrics(r prometheus.Registerer, latencyBuckets []float64) *metrics {
	m := &metrics{
		grpc: measure.NewServer(r, latencyBuckets),
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_connections_total",
			Help: "Connections accepted from clients.",
		}, []string{"type"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_connections_refused_total",
			Help: "Connections of clients with which no TLS session could be made.",
		}, []string{"type"}),
		methods: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_method_types",
			Help: "Calls by kind of method.",
		}, []string{"method_type"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_read_distribution",
			Help: "Reads by the storage that they were routed to.",
		}, []string{"virtual_storage", "storage"}),
		retriedReads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_reads_retried_total",
			Help: "Reads that failed on a storage before it answered, and went to another one.",
		}, []string{"virtual_storage", "storage"}),
		authenticated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_authentications_total",
			Help: "Calls by outcome of authentication.",
		}, []string{"enforced", "status"}),
		unleased: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_reads_without_lease_total",
			Help: "Reads that came while this instance had no lease: passed_on to a leased peer, served by the last view, or refused.",
		}, []string{"outcome"}),
		frames: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_reads_as_frames_total",
			Help: "Reads that may be forwarded as frames: diverted, or passed to gRPC's server for a reason.",
		}, []string{"outcome"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_panics_total",
			Help: "Panics caught while a call was handled.",
		}),
		clients: newClientRequests(),
		replications: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_tx_replications_total",
			Help: "Replicas after a write: updated by it, or behind for a reason.",
		}, []string{"reason"}),
		unwritten: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_primary_write_failures_total",
			Help: "Writes that the primary failed although another storage voted for them, whatever the status of the call.",
		}, []string{"virtual_storage", "gitaly_storage"}),
		sentAgain: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "praefect_writes_sent_again_total",
			Help: "Writes that changed nothing because their primary waited for locks of git in vain, and were sent again.",
		}),
	}
	for _, reason := range []string{updated, outdated, noVotes, otherStatus, notCommitted} {
		m.replications.WithLabelValues(reason) // so that each can be seen from the start
	}
	for _, outcome := range framesOutcomes {
		m.frames.WithLabelValues(string(outcome))
	}
	r.MustRegister(m.clients.total, m.replications, m.connections, m.refused, m.methods, m.reads, m.retriedReads, m.authenticated, m.unleased, m.frames, m.panics, m.unwritten, m.sentAgain)
	return m
}

func (m *metrics) authentication(a Auth, outcome string) {
	m.authenticated.WithLabelValues(strconv.FormatBool(!a.Transitioning), outcome).Inc()
}

// unknownMethod is the label of calls whose method is in no table: the names are of
// the client's choice, and every name would be kept for as long as the process runs.
const unknownMethod = "/unknown/unknown"

// measureStream counts the streams, each under a method that is known.
func (s *Server) measureStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	method := info.FullMethod
	if srv == nil { // no service is registered that has the method
		if _, ok := s.methods.Lookup(method); !ok {
			method = unknownMethod
		}
	}
	conn := clientconn.FromContext(ss.Context())
	return s.metrics.grpc.Stream(method, conn != nil && conn.WasCounted(method), srv, ss, info, handler)
}
