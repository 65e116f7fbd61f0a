package measure

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Client counts the calls of storages. Make one with NewClient.
type Client struct{ *calls }

// NewClient makes a Client and registers its metrics. buckets are for the time of a call, in
// seconds.
func NewClient(r prometheus.Registerer, buckets []float64) *Client {
	return &Client{newCalls(r, "client", helps{
		started:  "Calls that this instance began at storages.",
		handled:  "Calls of this instance that storages ended, by their code.",
		sent:     "Messages that this instance sent to storages.",
		received: "Messages that this instance got from storages.",
		seconds:  "Time of the calls that storages ended.",
	}, buckets)}
}

// DialOptions hang the Client into a connection. Every method that is called over it has series of
// its own, so that the caller must not call names from others.
func (c *Client) DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(c.unary), grpc.WithChainStreamInterceptor(c.stream)}
}

func (c *Client) unary(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	s, start := c.Of(method, KindOf(false, false)), time.Now()
	s.Started()
	s.sent.Inc()
	err := invoke(ctx, method, req, reply, cc, opts...)
	if err == nil {
		s.received.Inc()
	}
	s.Ended(start, status.Code(err))
	return err
}

func (c *Client) stream(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	m := &measured{series: c.Of(method, KindOf(desc.ClientStreams, desc.ServerStreams)), start: time.Now(), one: !desc.ServerStreams}
	m.series.Started()
	var err error
	// A caller that gives a call up need not wait for its end.
	if m.ClientStream, err = open(ctx, desc, cc, method, append(opts[:len(opts):len(opts)], grpc.OnFinish(m.end))...); err != nil {
		m.end(err)
		return nil, err
	}
	return m, nil
}

// measured is a stream whose messages and end are counted.
type measured struct {
	grpc.ClientStream
	series *Series
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
	if err != nil || m.one {
		m.end(err)
	}
	return err
}

// end counts the end of the call, once.
func (m *measured) end(err error) {
	if !m.over.CompareAndSwap(false, true) {
		return
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	m.series.Ended(m.start, status.Code(err))
}
