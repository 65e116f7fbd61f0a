package measure

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// scripted is a stream that receives what it was told to.
type scripted struct {
	grpc.ClientStream
	receives []error
}

func (s *scripted) SendMsg(any) error { return nil }

func (s *scripted) RecvMsg(any) error {
	err := s.receives[0]
	s.receives = s.receives[1:]
	return err
}

func TestClient_countsStreams(t *testing.T) {
	gone := status.Error(codes.Unavailable, "gone")
	for name, c := range map[string]struct {
		desc     grpc.StreamDesc
		receives []error
		kind     string
		code     codes.Code
		messages float64
	}{
		"server stream ends":        {grpc.StreamDesc{ServerStreams: true}, []error{nil, nil, io.EOF, io.EOF}, "server_stream", codes.OK, 2},
		"both stream, and it fails": {grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, []error{nil, gone, gone}, "bidi_stream", codes.Unavailable, 1},
		"one response":              {grpc.StreamDesc{ClientStreams: true}, []error{nil}, "client_stream", codes.OK, 1},
		"a code of no one":          {grpc.StreamDesc{}, []error{status.Error(99, "")}, "unary", codes.Unknown, 0},
	} {
		t.Run(name, func(t *testing.T) {
			client := NewClient(prometheus.NewRegistry(), nil)
			stream, err := client.stream(t.Context(), &c.desc, nil, "/s.Service/Method", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
				return &scripted{receives: c.receives}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.SendMsg(nil); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.receives {
				if err := stream.RecvMsg(nil); !errors.Is(err, want) {
					t.Fatalf("got %v, want %v", err, want)
				}
			}
			of := []string{c.kind, "s.Service", "Method"}
			for what, got := range map[string]float64{
				"started": testutil.ToFloat64(client.started.WithLabelValues(of...)),
				"handled": testutil.ToFloat64(client.handled.WithLabelValues(append(of, c.code.String())...)),
				"sent":    testutil.ToFloat64(client.sent.WithLabelValues(of...)),
			} {
				if got != 1 {
					t.Errorf("%s: got %v, want 1", what, got)
				}
			}
			if got := testutil.ToFloat64(client.received.WithLabelValues(of...)); got != c.messages {
				t.Errorf("received: got %v, want %v", got, c.messages)
			}
		})
	}
}

func TestClient_countsWhatCannotBegin(t *testing.T) {
	client := NewClient(prometheus.NewRegistry(), nil)
	fails := status.Error(codes.Unavailable, "no connection")
	_, err := client.stream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, nil, "/s/M", func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return nil, fails
	})
	if !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	err = client.unary(t.Context(), "/s/M", nil, nil, nil, func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error { return fails })
	if !errors.Is(err, fails) {
		t.Errorf("got %v", err)
	}
	for _, kind := range []string{"unary", "server_stream"} {
		if got := testutil.ToFloat64(client.handled.WithLabelValues(kind, "s", "M", "Unavailable")); got != 1 {
			t.Errorf("%s: got %v, want 1", kind, got)
		}
	}
}

// TestClient_givenUp: the end of a call counts once, though its caller does not wait for it.
func TestClient_givenUp(t *testing.T) {
	client := NewClient(prometheus.NewRegistry(), prometheus.DefBuckets)
	var ends func(error)
	open := func(_ context.Context, _ *grpc.StreamDesc, _ *grpc.ClientConn, _ string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		ends = opts[len(opts)-1].(grpc.OnFinishCallOption).OnFinish
		return &scripted{receives: []error{io.EOF}}, nil
	}
	stream, err := client.stream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, nil, "/s/M", open)
	if err != nil {
		t.Fatal(err)
	}
	ends(status.Error(codes.Canceled, "given up"))
	_ = stream.RecvMsg(nil)
	if got := testutil.ToFloat64(client.handled.WithLabelValues("server_stream", "s", "M", "Canceled")); got != 1 || testutil.CollectAndCount(client.handled) != 1 {
		t.Errorf("%v calls are counted as given up, in %d series", got, testutil.CollectAndCount(client.handled))
	}
}

// TestClient_allocatesLittle allows the wrapper of a stream and what tells it of its end, and nothing for its messages.
func TestClient_allocatesLittle(t *testing.T) {
	client := NewClient(prometheus.NewRegistry(), prometheus.DefBuckets)
	desc, inner := &grpc.StreamDesc{ServerStreams: true}, &scripted{}
	receives := []error{nil, nil, nil, io.EOF}
	open := func(context.Context, *grpc.StreamDesc, *grpc.ClientConn, string, ...grpc.CallOption) (grpc.ClientStream, error) {
		return inner, nil
	}
	got := testing.AllocsPerRun(100, func() {
		inner.receives = receives
		stream, err := client.stream(t.Context(), desc, nil, "/s/M", open)
		if err != nil {
			t.Fatal(err)
		}
		for range receives {
			_ = stream.SendMsg(nil)
			_ = stream.RecvMsg(nil)
		}
	})
	if got > 3 {
		t.Errorf("%v allocations for a call, want 3", got)
	}
}
