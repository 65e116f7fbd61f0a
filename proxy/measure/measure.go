// Package measure counts the calls that an instance makes of storages, under the names that clients
// of gRPC are measured by everywhere (grpc_client_*). It promises that counting takes no lock and
// allocates one small object for each call, because it is in the way of every read. The daemon
// hangs it into the connections of package storage.
package measure

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Client counts calls. Make one with NewClient.
type Client struct {
	started, handled, sent, received *prometheus.CounterVec
	seconds                          *prometheus.HistogramVec

	// series has the series of each method that was called, read without a lock: a new map replaces it.
	series atomic.Pointer[map[key]*series]
	mu     sync.Mutex // of the writers of series
}

// key is a method and how it streams.
type key struct{ method, kind string }

// series are the collectors of one method.
type series struct {
	started, sent, received prometheus.Counter
	handled                 [codes.Unauthenticated + 1]prometheus.Counter
	seconds                 prometheus.Observer
}

// NewClient makes a Client and registers its metrics. buckets are for the time of a call, in
// seconds.
func NewClient(r prometheus.Registerer, buckets []float64) *Client {
	of := []string{"grpc_type", "grpc_service", "grpc_method"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append(of[:len(of):len(of)], labels...))
	}
	c := &Client{
		started:  counter("grpc_client_started_total", "Calls that this instance began at storages."),
		handled:  counter("grpc_client_handled_total", "Calls of this instance that storages ended, by their code.", "grpc_code"),
		sent:     counter("grpc_client_msg_sent_total", "Messages that this instance sent to storages."),
		received: counter("grpc_client_msg_received_total", "Messages that this instance got from storages."),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "grpc_client_handling_seconds", Help: "Time of the calls that storages ended.", Buckets: buckets,
		}, of),
	}
	c.series.Store(&map[key]*series{})
	r.MustRegister(c.started, c.handled, c.sent, c.received, c.seconds)
	return c
}

// DialOptions hang the Client into a connection. Every method that is called over it has series of
// its own, so that the caller must not call names from others.
func (c *Client) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream)}
}

func (c *Client) of(method, kind string) *series {
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
	s := &series{
		started: c.started.WithLabelValues(kind, service, name), sent: c.sent.WithLabelValues(kind, service, name),
		received: c.received.WithLabelValues(kind, service, name), seconds: c.seconds.WithLabelValues(kind, service, name),
	}
	for code := range s.handled {
		s.handled[code] = c.handled.WithLabelValues(kind, service, name, codes.Code(code).String())
	}
	more := maps.Clone(known)
	more[key{method, kind}] = s
	c.series.Store(&more)
	return s
}

// ended counts the end of a call.
func (s *series) ended(start time.Time, err error) {
	code := status.Code(err)
	if int(code) >= len(s.handled) {
		code = codes.Unknown // a storage may send any number
	}
	s.handled[code].Inc()
	s.seconds.Observe(time.Since(start).Seconds())
}

func (c *Client) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	s, start := c.of(method, "unary"), time.Now()
	s.started.Inc()
	s.sent.Inc()
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		s.received.Inc()
	}
	s.ended(start, err)
	return err
}

func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, start := c.of(method, kindOf(desc)), time.Now()
	s.started.Inc()
	stream, err := open(ctx, desc, cc, method, opts...)
	if err != nil {
		s.ended(start, err)
		return nil, err
	}
	return &measured{ClientStream: stream, series: s, start: start, one: !desc.ServerStreams}, nil
}

// kindOf names how a method streams, as libraries name it.
func kindOf(desc *grpc.StreamDesc) string {
	switch {
	case desc.ClientStreams && desc.ServerStreams:
		return "bidi_stream"
	case desc.ClientStreams:
		return "client_stream"
	case desc.ServerStreams:
		return "server_stream"
	}
	return "unary"
}

// measured is a stream whose messages and end are counted.
type measured struct {
	grpc.ClientStream
	series *series
	start  time.Time
	one    bool // there is one response, and its arrival is the end
	over   atomic.Bool
}

// SendMsg implements grpc.ClientStream.
func (m *measured) SendMsg(message any) error {
	err := m.ClientStream.SendMsg(message)
	if err == nil {
		m.series.sent.Inc()
	}
	return err
}

// RecvMsg implements grpc.ClientStream.
func (m *measured) RecvMsg(message any) error {
	err := m.ClientStream.RecvMsg(message)
	if err == nil {
		m.series.received.Inc()
	}
	if (err != nil || m.one) && m.over.CompareAndSwap(false, true) {
		cause := err
		if errors.Is(err, io.EOF) {
			cause = nil
		}
		m.series.ended(m.start, cause)
	}
	return err
}
