package stream

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// startBoth serves a storage and a proxy in front of it.
func startBoth(t *testing.T) (storage *shapes, p *proxy, storageAddr, proxyAddr string) {
	t.Helper()
	storage = new(shapes)
	server := grpc.NewServer()
	server.RegisterService(storage.desc(), nil)
	storageAddr = listen(t, server)
	p, proxyAddr = startProxy(t, storageAddr)
	return storage, p, storageAddr, proxyAddr
}

// A client that breaks the rules of a method gets what a storage would have told it, and no storage hears of it.
func TestPeek_badClientsReachNoStorage(t *testing.T) {
	storage, _, storageAddr, proxyAddr := startBoth(t)
	var reached bool
	storage.behave(func(ss grpc.ServerStream) error {
		reached = true
		s := &serverSide{tb: t, stream: ss}
		err := s.stream.RecvMsg(new(wrapperspb.BytesValue))
		return err
	})
	for _, tc := range []struct {
		desc   string
		client func(*client)
	}{
		{"two requests", func(c *client) { c.send("one"); c.send("two"); c.closeSend(); c.drain() }},
		{"no request", func(c *client) { c.closeSend(); c.drain() }},
		{"request too large", func(c *client) { c.send(large + large); c.closeSend(); c.drain() }},
	} {
		for _, call := range []struct {
			method  string
			options []grpc.DialOption
		}{{unary, nil}, {serverStream, nil}, {unary, compressing}, {serverStream, compressing}} {
			t.Run(fmt.Sprintf("%s%s with %d options", tc.desc, call.method, len(call.options)), func(t *testing.T) {
				direct := newClient(t, t.Context(), dial(t, storageAddr, call.options...), call.method)
				tc.client(direct)
				reached = false
				proxied := newClient(t, t.Context(), dial(t, proxyAddr, call.options...), call.method)
				tc.client(proxied)
				if diff := cmp.Diff(direct.lines, proxied.lines); diff != "" {
					t.Errorf("(-direct +proxied):\n%s", diff)
				}
				if reached {
					t.Error("the storage was reached")
				}
			})
		}
	}
}

// A later message that gRPC refuses ends the call at the storage too.
func TestForwarder_laterRequestTooLarge(t *testing.T) {
	storage, p, _, proxyAddr := startBoth(t)
	ended := make(chan struct{})
	storage.behave(func(ss grpc.ServerStream) error {
		defer close(ended)
		(&serverSide{tb: t, stream: ss}).awaitCancel()
		return nil
	})
	c := newClient(t, t.Context(), dial(t, proxyAddr), bidi)
	c.send("small")
	c.send(large + large)
	c.drain()
	<-ended
	got := p.outcome(t)
	if ofStatus(got.Err) != codes.ResourceExhausted || ofStatus(got.ClientErr) != codes.ResourceExhausted || got.Ended {
		t.Errorf("got %+v", got)
	}
}

func TestForwarder_responseTooLarge(t *testing.T) {
	storage, p, _, proxyAddr := startBoth(t)
	storage.behave(func(ss grpc.ServerStream) error {
		s := &serverSide{tb: t, stream: ss}
		s.recv()
		s.send(large + large)
		return nil
	})
	c := newClient(t, t.Context(), dial(t, proxyAddr), unary)
	ask(c)
	if got := p.outcome(t); ofStatus(got.Err) != codes.ResourceExhausted || got.ClientErr != nil || got.Responded {
		t.Errorf("got %+v", got)
	}
}

// A client that vanishes without a word was cancelled, for us and for the storage.
func TestForwarder_clientVanishes(t *testing.T) {
	storage, p, _, proxyAddr := startBoth(t)
	for _, tc := range []struct {
		desc   string
		method string
		send   bool // the storage keeps sending
	}{
		{"while all wait", serverStream, false},
		{"while a unary call waits", unary, false},
		{"while it sends", bidi, false},
		{"while it receives", serverStream, true},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			reached, ended := make(chan struct{}), make(chan error, 1)
			storage.behave(func(ss grpc.ServerStream) error {
				s := &serverSide{tb: t, stream: ss}
				s.recv()
				close(reached)
				for tc.send && ss.Context().Err() == nil {
					s.send(large)
				}
				s.awaitCancel()
				ended <- context.Cause(ss.Context())
				return nil
			})
			conn := dial(t, proxyAddr)
			c := newClient(t, t.Context(), conn, tc.method)
			c.send("request")
			if tc.method != bidi {
				c.closeSend()
			}
			<-reached
			conn.Close()
			if err := <-ended; err != context.Canceled {
				t.Errorf("storage: %v", err)
			}
			if got := p.outcome(t); ofStatus(got.Err) != codes.Canceled || got.Ended || ofStatus(got.ClientErr) != codes.Canceled {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestForwarder_deadlinePasses(t *testing.T) {
	storage, p, _, proxyAddr := startBoth(t)
	conn := dial(t, proxyAddr)
	for _, method := range []string{unary, clientStream, serverStream, bidi} {
		t.Run(method, func(t *testing.T) {
			call := func(timeout time.Duration) (reached bool) {
				var atStorage atomic.Bool
				storage.behave(func(ss grpc.ServerStream) error {
					atStorage.Store(true)
					s := &serverSide{tb: t, stream: ss}
					s.awaitCancel()
					return ss.Context().Err()
				})
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
				if err == nil && stream.SendMsg(new(wrapperspb.BytesValue)) == nil {
					err = stream.RecvMsg(new(wrapperspb.BytesValue))
				}
				if ofStatus(err) != codes.DeadlineExceeded {
					t.Errorf("client: %v", err)
				}
				return atStorage.Load()
			}
			// On a slow machine the time may be up before the call has got anywhere.
			for timeout := 50 * time.Millisecond; !call(timeout); timeout *= 2 {
				if timeout > patience {
					t.Fatal("no call reached the storage")
				}
			}
			// The client's own reset may be here before the proxy's clock has run out.
			if got := p.outcome(t); ofStatus(got.Err) != codes.DeadlineExceeded && ofStatus(got.Err) != codes.Canceled || got.Ended {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestForwarder_deadlineReachesTheStorage(t *testing.T) {
	storage, _, _, proxyAddr := startBoth(t)
	seen := make(chan time.Time, 1)
	storage.behave(func(ss grpc.ServerStream) error {
		deadline, _ := ss.Context().Deadline()
		seen <- deadline
		return nil
	})
	want := time.Now().Add(3 * time.Hour)
	ctx, cancel := context.WithDeadline(t.Context(), want)
	defer cancel()
	stream, err := dial(t, proxyAddr).NewStream(ctx, &grpc.StreamDesc{}, unary)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(new(wrapperspb.BytesValue)); err != nil {
		t.Fatal(err)
	}
	if got := <-seen; got.Sub(want).Abs() > time.Minute {
		t.Errorf("deadline at the storage %v, the client's %v", got, want)
	}
}

// What was sent before the storage was lost reaches the client, and then the loss.
func TestForwarder_storageLostMidStream(t *testing.T) {
	p, addr := startProxy(t, startRawStorage(t, func(c *rawCall) {
		c.responseHeaders()
		c.message(false)
		c.message(false)
		c.abort()
	}))
	c := newClient(t, t.Context(), dial(t, addr), serverStream)
	c.send("request")
	c.closeSend()
	n := 0
	var err error
	for err == nil {
		if err = c.stream.RecvMsg(new(wrapperspb.BytesValue)); err == nil {
			n++
		}
	}
	got := p.outcome(t)
	if ofStatus(err) != codes.Unavailable || ofStatus(got.Err) != codes.Unavailable || got.Ended || got.ClientErr != nil {
		t.Errorf("client: %v; outcome %+v", err, got)
	}
	if got.Responded != (n > 0) {
		t.Errorf("%d messages arrived, responded is %t", n, got.Responded)
	}
}
