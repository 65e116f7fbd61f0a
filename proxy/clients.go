package proxy

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// origin describes a client and its call as the client states them, under the names that upstream
// has.
type origin struct {
	clientName, callSite, deadlineType string
}

// The headers in which it says so; the first one that is there counts.
var (
	clientNameHeaders   = []string{"client_name", "x-gitlab-client-name"}
	callSiteHeaders     = []string{"call_site"}
	deadlineTypeHeaders = []string{"deadline_type"}
	remoteIPHeaders     = []string{"remote_ip"}
	userIDHeaders       = []string{"user_id"}
	usernameHeaders     = []string{"username"}
)

// tokenVersion is upstream's name of the way in which clients prove that they may call.
const tokenVersion = "v2"

// originOf reads the client's description of itself.
func originOf(ctx context.Context) origin {
	return origin{
		clientName: saidIn(ctx, clientNameHeaders), callSite: saidIn(ctx, callSiteHeaders), deadlineType: saidIn(ctx, deadlineTypeHeaders),
	}
}

func saidIn(ctx context.Context, headers []string) string {
	for _, header := range headers {
		if values := metadata.ValueFromIncomingContext(ctx, header); len(values) > 0 && values[0] != "" {
			return cut(values[0])
		}
	}
	return ""
}

// unknown stands for a label that a client does not give, and tooMany for its label when enough
// different ones were given before: labels are the client's choice, and are kept for as long as the
// process runs.
const (
	unknown = "unknown"
	tooMany = "other"
	// maxOrigins is how many different combinations of a client's own words are counted apart.
	maxOrigins = 500
	// maxSeries is how many series are found without a lock.
	maxSeries = 4096
	// maxWord is how long a word of a client may be to be a label.
	maxWord = 64
)

// clientRequests counts the calls of each kind of client: upstream's
// gitaly_service_client_requests_total. Counting takes no lock once a series is known.
type clientRequests struct {
	total  *prometheus.CounterVec
	series atomic.Pointer[map[clientCall]prometheus.Counter]

	mu      sync.Mutex // of the writers of series, and of origins
	origins map[origin]bool
}

// clientCall are the labels of one series.
type clientCall struct {
	origin origin
	method string // never one of the client's choice
	code   codes.Code
	kind   string
	scope  string
	exempt bool // it needs no token
}

func newClientRequests() *clientRequests {
	c := &clientRequests{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_service_client_requests_total",
			Help: "Calls by the client that made them, as it names itself, by method and by code.",
		}, []string{
			"client_name", "grpc_service", "grpc_method", "call_site", "auth_version", "grpc_code", "deadline_type", "method_operation", "method_scope",
		}),
		origins: make(map[origin]bool),
	}
	c.series.Store(&map[clientCall]prometheus.Counter{})
	return c
}

// count counts the end of a call.
func (c *clientRequests) count(call clientCall) {
	if counter := (*c.series.Load())[call]; counter != nil {
		counter.Inc()
		return
	}
	c.add(call).Inc()
}

// add makes a series.
func (c *clientRequests) add(call clientCall) prometheus.Counter {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := call.origin
	full := len(c.origins) >= maxOrigins && !c.origins[o]
	if full || max(len(o.clientName), len(o.callSite), len(o.deadlineType)) > maxWord {
		o = origin{clientName: tooMany, callSite: tooMany, deadlineType: tooMany}
	} else {
		c.origins[o] = true
	}
	service, name := splitMethod(call.method)
	counter := c.total.WithLabelValues(word(o.clientName), service, name, word(o.callSite), authVersion(call.exempt),
		call.code.String(), word(o.deadlineType), call.kind, call.scope)
	known := *c.series.Load()
	if o == call.origin && len(known) < maxSeries { // else the call is looked up here each time
		more := maps.Clone(known)
		more[call] = counter
		c.series.Store(&more)
	}
	return counter
}

func word(said string) string {
	if said == "" {
		return unknown
	}
	return said
}

func authVersion(exempt bool) string {
	if exempt {
		return unknown
	}
	return tokenVersion
}

// splitMethod cuts "/service/method".
func splitMethod(fullMethod string) (service, name string) {
	service, name, _ = strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	return service, name
}
