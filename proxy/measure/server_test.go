package measure

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// incoming is a stream of a client that sends two messages.
type incoming struct {
	grpc.ServerStream
	got int
}

func (i *incoming) SendMsg(any) error { return nil }

func (i *incoming) RecvMsg(any) error {
	if i.got++; i.got > 2 {
		return errors.New("that was all")
	}
	return nil
}

func TestServer_countsStreams(t *testing.T) {
	server := NewServer(prometheus.NewRegistry(), nil)
	gone := status.Error(codes.Unavailable, "gone")
	err := server.Stream("/s.Service/Method", false, nil, &incoming{}, &grpc.StreamServerInfo{IsClientStream: true, IsServerStream: true}, func(_ any, ss grpc.ServerStream) error {
		for ss.RecvMsg(nil) == nil {
			continue
		}
		if err := ss.SendMsg(nil); err != nil {
			t.Error(err)
		}
		return gone
	})
	if !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	of := []string{"bidi_stream", "s.Service", "Method"}
	for what, c := range map[string]struct{ got, want float64 }{
		"started":  {testutil.ToFloat64(server.started.WithLabelValues(of...)), 1},
		"handled":  {testutil.ToFloat64(server.handled.WithLabelValues(append(of, "Unavailable")...)), 1},
		"received": {testutil.ToFloat64(server.received.WithLabelValues(of...)), 2},
		"sent":     {testutil.ToFloat64(server.sent.WithLabelValues(of...)), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}

func TestServer_countsUnaryCalls(t *testing.T) {
	server := NewServer(prometheus.NewRegistry(), nil)
	for _, err := range []error{nil, status.Error(codes.NotFound, "")} {
		_, got := server.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/s/M"}, func(context.Context, any) (any, error) { return nil, err })
		if !errors.Is(got, err) {
			t.Errorf("got %v, want %v", got, err)
		}
	}
	of := []string{"unary", "s", "M"}
	for what, c := range map[string]struct{ got, want float64 }{
		"started":   {testutil.ToFloat64(server.started.WithLabelValues(of...)), 2},
		"well":      {testutil.ToFloat64(server.handled.WithLabelValues(append(of, "OK")...)), 1},
		"not found": {testutil.ToFloat64(server.handled.WithLabelValues(append(of, "NotFound")...)), 1},
		"received":  {testutil.ToFloat64(server.received.WithLabelValues(of...)), 2},
		"sent":      {testutil.ToFloat64(server.sent.WithLabelValues(of...)), 1},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", what, c.got, c.want)
		}
	}
}
