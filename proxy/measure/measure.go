// Package measure counts the calls that clients make of an instance, and the calls that an instance
// makes of storages, under the names that gRPC is measured by everywhere (grpc_server_*,
// grpc_client_*). It promises that counting takes no lock and allocates one small object for each
// call, because it is in the way of every read. The proxy hangs a Server into its listeners, and the
// daemon a Client into the connections of package storage; calls that run past gRPC are counted
// with a Series.
package measure

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// calls are the collectors of one side of calls.
type calls struct {
	started, handled, sent, received *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec

	// series has the series of each method that was called, read without a lock: a new map replaces it.
	series atomic.Pointer[map[key]*Series]
	mu     sync.Mutex // of the writers of series
}

// key is a method and how it streams.
type key struct{ method, kind string }

// helps are the texts of the collectors of one side.
type helps struct{ started, handled, sent, received, seconds string }

// newCalls makes the collectors of a side and registers them. buckets are for the time of a call,
// in seconds.
func newCalls(r prometheus.Registerer, side string, help helps, buckets []float64) *calls {
	of := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		name = "grpc_" + side + "_" + name
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(of[:len(of):len(of)], labels...))
	}
	c := &calls{
		started:  counter("started_total", help.started),
		handled:  counter("handled_total", help.handled, "grpc_code"),
		sent:     counter("msg_sent_total", help.sent),
		received: counter("msg_received_total", help.received),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_" + side + "_handling_seconds", Help: help.seconds, Buckets: buckets,
		}, of),
	}
	c.series.Store(&map[key]*Series{})
	r.MustRegister(c.started, c.handled, c.sent, c.received, c.seconds)
	return c
}

// Of is the Series of a method; kind says how the method streams, as KindOf names it. Every method
// has series of its own, so that the caller must not ask for names from others.
func (c *calls) Of(method, kind string) *Series {
	if s := (*c.series.Load())[key{method, kind}]; s != nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	known := *c.series.Load()
	if s := known[key{method, kind}]; s != nil {
		return s
	}
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	labels := []string{kind, service, name}
	s := &Series{
		started: c.started.WithLabelValues(labels...), sent: c.sent.WithLabelValues(labels...),
		received: c.received.WithLabelValues(labels...), seconds: c.seconds.WithLabelValues(labels...),
		handled: c.handled, labels: labels,
	}
	more := maps.Clone(known)
	more[key{method, kind}] = s
	c.series.Store(&more)
	return s
}

// KindOf names how a method streams, as libraries name it.
func KindOf(clientStreams, serverStreams bool) string {
	switch {
	case clientStreams && serverStreams:
		return "bidi_stream"
	case clientStreams:
		return "client_stream"
	case serverStreams:
		return "server_stream"
	}
	return "unary"
}

// Series counts the calls of one method. It is safe for concurrent use.
type Series struct {
	started, sent, received prometheus.Counter
	seconds                 prometheus.Observer

	handled *prometheus.CounterVec
	labels  []string
	codes   [codes.Unauthenticated + 1]atomic.Pointer[prometheus.Counter] // of handled, once there was such an end
}

// Started counts a call that begins.
func (s *Series) Started() { s.started.Inc() }

// Messages counts messages in both directions.
func (s *Series) Messages(sent, received int) {
	s.sent.Add(float64(sent))
	s.received.Add(float64(received))
}

// Ended counts a call that has ended, and that began at start.
func (s *Series) Ended(start time.Time, code codes.Code) {
	if int(code) >= len(s.codes) {
		code = codes.Unknown // a storage may send any number
	}
	counter := s.codes[code].Load()
	if counter == nil {
		made := s.handled.WithLabelValues(append(s.labels[:len(s.labels):len(s.labels)], code.String())...)
		counter = &made
		s.codes[code].Store(counter)
	}
	(*counter).Inc()
	s.seconds.Observe(time.Since(start).Seconds())
}
