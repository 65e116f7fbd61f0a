package stream

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// scenario is one call, told from both its ends.
type scenario struct {
	name   string
	method string
	md     []string // metadata of the request
	client func(*client)
	server func(*serverSide) error
}

func withDetails(code codes.Code, message string) error {
	st, err := status.New(code, message).WithDetails(&errdetails.RetryInfo{}, &errdetails.ErrorInfo{Reason: "reason", Domain: "domain"})
	if err != nil {
		panic(err)
	}
	return st.Err()
}

// large is a message near the limit of 4 MiB.
var large = strings.Repeat("0123456789abcde\n", 4<<20/16-16)

func ask(c *client) {
	c.send("request")
	c.closeSend()
	c.header()
	c.drain()
}

func scenarios() []scenario {
	return []scenario{
		{"unary", unary, nil, ask, func(s *serverSide) error {
			s.recv()
			s.stream.SetTrailer(metadata.Pairs("t", "1", "t", "2", "bin-bin", "\x00\xff"))
			s.sendHeader("h", "1", "other-bin", "\x01\xfe")
			s.send("response")
			return nil
		}},
		{"unary without headers", unary, nil, ask, func(s *serverSide) error { s.recv(); s.send("response"); return nil }},
		{"unary with an empty message", unary, nil,
			func(c *client) { c.send(""); c.closeSend(); c.drain() },
			func(s *serverSide) error { s.recv(); s.send(""); return nil }},
		{"unary without a response", unary, nil, ask, func(s *serverSide) error { s.recv(); return nil }},
		{"unary, large both ways", unary, nil,
			func(c *client) { c.send(large); c.closeSend(); c.drain() },
			func(s *serverSide) error { s.recv(); s.send(large); return nil }},
		{"unary error", unary, nil, ask, func(s *serverSide) error {
			s.recv()
			s.stream.SetTrailer(metadata.Pairs("t", "1"))
			return status.Error(codes.NotFound, "no such repository: 100% größe\n")
		}},
		{"unary error with details", unary, nil, ask, func(s *serverSide) error { s.recv(); return withDetails(codes.FailedPrecondition, "why") }},
		{"unary error after headers", unary, nil, ask, func(s *serverSide) error {
			s.recv()
			s.sendHeader("h", "1")
			return status.Error(codes.Internal, "broken")
		}},
		{"unary error after the response", unary, nil, ask, func(s *serverSide) error {
			s.recv()
			s.send("response")
			return status.Error(codes.Aborted, "changed my mind")
		}},
		{"unary error without a code", unary, nil, ask, func(s *serverSide) error { s.recv(); return context.Canceled }},
		{"unary, code unknown to this program", unary, nil, ask, func(s *serverSide) error { s.recv(); return status.Error(4711, "strange") }},
		{"metadata arrives", unary, []string{"a", "1", "a", "2", "x-bin", "\x00\x80", "grpc-previous-rpc-attempts", "3"}, ask,
			func(s *serverSide) error {
				s.recv()
				md, _ := metadata.FromIncomingContext(s.stream.Context())
				// These are the connection's own.
				for _, hop := range []string{":authority", "content-type", "user-agent", "grpc-accept-encoding"} {
					delete(md, hop)
				}
				s.metadata("request", md)
				return nil
			}},

		{"server stream", serverStream, nil, ask, func(s *serverSide) error {
			s.recv()
			s.sendHeader("h", "1")
			for _, b := range []string{"one", "", "three", large, "five"} {
				s.send(b)
			}
			s.stream.SetTrailer(metadata.Pairs("t", "1"))
			return nil
		}},
		{"empty server stream", serverStream, nil, ask, func(s *serverSide) error { s.recv(); return nil }},
		{"server stream error before the first message", serverStream, nil, ask,
			func(s *serverSide) error { s.recv(); return withDetails(codes.ResourceExhausted, "later") }},
		{"server stream error after messages", serverStream, nil, ask, func(s *serverSide) error {
			s.recv()
			s.send("one")
			s.send("two")
			s.stream.SetTrailer(metadata.Pairs("t", "1"))
			return withDetails(codes.Unavailable, "going away")
		}},
		{"headers, then a wait", serverStream, nil,
			func(c *client) { c.send("request"); c.closeSend(); c.header(); c.gate.open(); c.drain() },
			func(s *serverSide) error { s.recv(); s.sendHeader("h", "1"); s.gate.wait(); s.send("late"); return nil }},
		{"message, then a wait", serverStream, nil,
			func(c *client) { c.send("request"); c.closeSend(); c.recv(); c.gate.open(); c.drain() },
			func(s *serverSide) error { s.recv(); s.send("early"); s.gate.wait(); return nil }},

		{"client stream", clientStream, nil,
			func(c *client) {
				for _, b := range []string{"one", "", large, "four"} {
					c.send(b)
				}
				c.closeSend()
				c.header()
				c.drain()
			},
			func(s *serverSide) error { s.drain(); s.send("all"); return nil }},
		{"empty client stream", clientStream, nil,
			func(c *client) { c.closeSend(); c.drain() },
			func(s *serverSide) error { s.drain(); s.send("nothing came"); return nil }},
		{"client waits for headers", clientStream, nil,
			func(c *client) { c.send("one"); c.header(); c.send("two"); c.closeSend(); c.drain() },
			func(s *serverSide) error { s.recv(); s.sendHeader("go", "on"); s.drain(); s.send("all"); return nil }},
		{"answer before the client has finished", clientStream, nil,
			func(c *client) { c.send("one"); c.drain() },
			func(s *serverSide) error { s.recv(); s.send("enough"); return nil }},

		{"both ways, in turns", bidi, nil,
			func(c *client) {
				for _, b := range []string{"one", "two", large} {
					c.send(b)
					c.recv()
				}
				c.closeSend()
				c.drain()
			},
			func(s *serverSide) error {
				for s.recv() {
					s.send("echo")
				}
				s.stream.SetTrailer(metadata.Pairs("t", "1"))
				return nil
			}},
		{"empty both ways", bidi, nil,
			func(c *client) { c.closeSend(); c.header(); c.drain() },
			func(s *serverSide) error { s.drain(); return nil }},
		{"client half-closes first", bidi, nil,
			func(c *client) { c.send("one"); c.closeSend(); c.drain() },
			func(s *serverSide) error { s.drain(); s.send("two"); s.send("three"); return nil }},
		{"server speaks first", bidi, nil,
			func(c *client) {
				c.send("knock")
				c.recv()
				c.recv()
				c.send("answer")
				c.closeSend()
				c.drain()
			},
			func(s *serverSide) error { s.send("one"); s.send("two"); s.drain(); return nil }},
		{"server ends first", bidi, nil,
			func(c *client) { c.send("one"); c.drain() },
			func(s *serverSide) error { s.recv(); s.send("enough"); return status.Error(codes.OutOfRange, "end") }},

		{"client cancels while waiting", serverStream, nil,
			func(c *client) {
				c.send("request")
				c.closeSend()
				c.recv()
				c.gate.wait()
				c.cancel()
				c.drain()
			},
			func(s *serverSide) error { s.recv(); s.send("one"); s.gate.arrive(); s.awaitCancel(); return nil }},
		{"client cancels while sending", bidi, nil,
			func(c *client) { c.send("one"); c.recv(); c.gate.wait(); c.cancel(); c.drain() },
			func(s *serverSide) error {
				s.recv()
				s.send("one")
				s.gate.arrive()
				s.drain()
				s.awaitCancel()
				return nil
			}},
		{"client cancels a unary call", unary, nil,
			func(c *client) { c.send("request"); c.closeSend(); c.gate.wait(); c.cancel(); c.drain() },
			func(s *serverSide) error { s.recv(); s.gate.arrive(); s.awaitCancel(); return nil }},
	}
}

// atOnce ends before anything was sent, so that a secondary would see as much or as little of it as chance has it.
func atOnce() scenario {
	return scenario{"error before the client has finished", clientStream, nil,
		func(c *client) { c.send("one"); c.drain() },
		func(s *serverSide) error { return withDetails(codes.PermissionDenied, "not you") }}
}

// run tells the scenario once, to a connection that leads to one storage or to a proxy in front of some.
func (sc scenario) run(t *testing.T, conn *grpc.ClientConn, storages ...*shapes) (client []string, servers [][]string) {
	t.Helper()
	gate := newGate(len(storages))
	seen := make([]chan []string, len(storages))
	for i, storage := range storages {
		seen[i] = make(chan []string, 1)
		storage.behave(func(ss grpc.ServerStream) error {
			s := &serverSide{tb: t, stream: ss, gate: gate}
			defer func() { seen[i] <- s.lines }()
			return sc.server(s)
		})
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), sc.md...)
	c := newClient(t, ctx, conn, sc.method)
	c.gate = gate
	sc.client(c)
	for i := range storages {
		select {
		case lines := <-seen[i]:
			servers = append(servers, lines)
		case <-time.After(patience):
			t.Errorf("the side of storage %d did not end", i)
		}
	}
	return c.lines, servers
}

// TestForwarder_isTransparent compares what both ends of a call see with and without a proxy between them.
func TestForwarder_isTransparent(t *testing.T) {
	storage, _, addr, proxyAddr := startBoth(t)
	compare(t, dial(t, addr), dial(t, proxyAddr), append(scenarios(), atOnce()), storage)
}

// compare tells scenarios to the first of the storages and to a proxy in front of them all, each of which must see the same.
func compare(t *testing.T, direct, proxied *grpc.ClientConn, scenarios []scenario, storages ...*shapes) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			wantClient, want := sc.run(t, direct, storages[0])
			gotClient, got := sc.run(t, proxied, storages...)
			if diff := cmp.Diff(wantClient, gotClient); diff != "" {
				t.Errorf("client (-direct +proxied):\n%s", diff)
			}
			for i := range got {
				if diff := cmp.Diff(want[0], got[i]); diff != "" {
					t.Errorf("storage %d (-direct +proxied):\n%s", i, diff)
				}
			}
			if len(gotClient) == 0 {
				t.Error("nothing was written down")
			}
		})
	}
}
