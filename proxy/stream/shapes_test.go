package stream

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of a test; none is meant to last.
const patience = 30 * time.Second

// The test service has one method of each shape. What it does is said by the test that calls it.
const (
	unary        = "/test.Shapes/Unary"
	clientStream = "/test.Shapes/ClientStream"
	serverStream = "/test.Shapes/ServerStream"
	bidi         = "/test.Shapes/Bidi"
)

func shape(method string) Call {
	return Call{
		Method:        method,
		ClientStreams: method == clientStream || method == bidi,
		ServerStreams: method == serverStream || method == bidi,
	}
}

// shapes is the storage: it serves each call with the behaviour set for it.
type shapes struct {
	mu    sync.Mutex
	serve func(grpc.ServerStream) error
}

func (s *shapes) behave(serve func(grpc.ServerStream) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve = serve
}

func (s *shapes) desc() *grpc.ServiceDesc {
	handler := func(_ any, ss grpc.ServerStream) error {
		s.mu.Lock()
		serve := s.serve
		s.mu.Unlock()
		return serve(ss)
	}
	desc := &grpc.ServiceDesc{ServiceName: "test.Shapes", HandlerType: (*any)(nil)}
	for _, method := range []string{unary, clientStream, serverStream, bidi} {
		call := shape(method)
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: strings.TrimPrefix(method, "/test.Shapes/"), Handler: handler,
			ClientStreams: call.ClientStreams, ServerStreams: call.ServerStreams,
		})
	}
	return desc
}

// listen serves on a loopback port until the test ends and returns its address.
func listen(tb testing.TB, server *grpc.Server) string {
	tb.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(lis) }()
	tb.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	return lis.Addr().String()
}

func dial(tb testing.TB, addr string, opts ...grpc.DialOption) *grpc.ClientConn {
	tb.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return conn
}

// proxy forwards every call to one storage, and to others beside it, and keeps the outcomes.
type proxy struct {
	storage   grpc.ClientConnInterface
	others    []grpc.ClientConnInterface
	forwarder Forwarder
	outcomes  chan Outcome

	// prepare, if set, may change a call before it is opened, and opened the branches before the call is forwarded.
	prepare func(*Call)
	opened  func([]*Branch)
}

func (p *proxy) handle(_ any, ss grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(ss)
	call := shape(method)
	call.Grace = func(time.Duration) time.Duration { return patience }
	if p.prepare != nil {
		p.prepare(&call)
	}
	first, err := Peek(ss, call)
	if err != nil && err != io.EOF {
		return err
	}
	md, _ := metadata.FromIncomingContext(ss.Context())
	ctx := metadata.NewOutgoingContext(ss.Context(), md)
	var branches []*Branch
	for _, conn := range append([]grpc.ClientConnInterface{p.storage}, p.others...) {
		var copied *Frame
		if first != nil {
			first.Data().Ref()
			copied = NewFrame(first.Data())
		}
		branch, err := Open(ctx, conn, call, copied)
		if err != nil {
			p.outcomes <- Outcome{Err: err}
			return err
		}
		branches = append(branches, branch)
	}
	if first != nil {
		first.Free()
	}
	if p.opened != nil {
		p.opened(branches)
	}
	out := p.forwarder.Forward(ss, call, branches[0], branches[1:]...)
	p.outcomes <- out
	return out.Err
}

// startProxy serves a proxy in front of a storage and returns it and its address.
func startProxy(tb testing.TB, storageAddr string, opts ...grpc.DialOption) (*proxy, string) {
	tb.Helper()
	// The conn closes last and the forwarder is waited for when the server has stopped: cleanups run in reverse order.
	p := &proxy{outcomes: make(chan Outcome, 100)}
	p.storage = dial(tb, storageAddr, append(opts, grpc.WithStatsHandler(StatsHandler{}))...)
	tb.Cleanup(func() { p.forwarder.Wait(0) })
	server := grpc.NewServer(grpc.ForceServerCodecV2(Codec{}), grpc.UnknownServiceHandler(p.handle))
	return p, listen(tb, server)
}

// outcome returns that of the next call to end.
func (p *proxy) outcome(tb testing.TB) Outcome {
	tb.Helper()
	select {
	case out := <-p.outcomes:
		return out
	case <-time.After(patience):
		tb.Fatal("no call ended")
		return Outcome{}
	}
}

// transcript is what one side of a call saw, in order.
type transcript struct {
	mu    sync.Mutex
	lines []string
}

func (t *transcript) add(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, fmt.Sprintf(format, args...))
}

func (t *transcript) metadata(what string, md metadata.MD) {
	keys := make([]string, 0, len(md))
	for key := range md {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		t.add("%s %s = %q", what, key, md[key])
	}
	t.add("%s, %d keys", what, len(keys))
}

func (t *transcript) end(err error) {
	if err == io.EOF {
		t.add("end")
		return
	}
	st := status.Convert(err)
	t.add("error %s %q, details %v", st.Code(), st.Message(), st.Details())
}

func (t *transcript) message(b []byte) {
	if len(b) > 100 {
		t.add("message of %d bytes, %x…%x", len(b), b[:8], b[len(b)-8:])
		return
	}
	t.add("message %q", b)
}

// gate is where the sides of a call meet: it opens when all storages have arrived, or by the client's hand.
type gate struct {
	missing atomic.Int32
	opened  chan struct{}
}

func newGate(storages int) *gate {
	g := &gate{opened: make(chan struct{})}
	g.missing.Store(int32(storages))
	return g
}

func (g *gate) open() { close(g.opened) }

func (g *gate) arrive() {
	if g.missing.Add(-1) == 0 {
		g.open()
	}
}

func (g *gate) wait() { <-g.opened }

// client drives one call and writes down what it sees. Its stream hides nothing: it is declared to stream both ways.
type client struct {
	transcript
	tb     testing.TB
	gate   *gate
	cancel context.CancelFunc
	stream grpc.ClientStream
}

func newClient(tb testing.TB, ctx context.Context, conn *grpc.ClientConn, method string) *client {
	tb.Helper()
	c := &client{tb: tb}
	ctx, c.cancel = context.WithTimeout(ctx, patience)
	tb.Cleanup(c.cancel)
	var err error
	c.stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

func (c *client) send(b string) {
	if err := c.stream.SendMsg(wrapperspb.Bytes([]byte(b))); err != nil && err != io.EOF {
		c.tb.Errorf("send: %v", err)
	}
}

func (c *client) closeSend() {
	if err := c.stream.CloseSend(); err != nil {
		c.tb.Errorf("close send: %v", err)
	}
}

func (c *client) header() {
	md, err := c.stream.Header()
	if err != nil {
		c.tb.Errorf("header: %v", err)
	}
	c.metadata("header", md)
}

// recv reads one message, or the end with its trailers, and reports whether it was a message.
func (c *client) recv() bool {
	var msg wrapperspb.BytesValue
	if err := c.stream.RecvMsg(&msg); err != nil {
		c.end(err)
		c.metadata("trailer", c.stream.Trailer())
		return false
	}
	c.message(msg.GetValue())
	return true
}

// drain reads up to the end.
func (c *client) drain() {
	for c.recv() {
	}
}

// serverSide is the storage's side of one call, which writes down what it sees.
type serverSide struct {
	transcript
	tb     testing.TB
	gate   *gate
	stream grpc.ServerStream
}

func (s *serverSide) send(b string) {
	if err := s.stream.SendMsg(wrapperspb.Bytes([]byte(b))); err != nil {
		s.end(err)
	}
}

func (s *serverSide) recv() bool {
	var msg wrapperspb.BytesValue
	if err := s.stream.RecvMsg(&msg); err != nil {
		s.end(err)
		return false
	}
	s.message(msg.GetValue())
	return true
}

func (s *serverSide) drain() {
	for s.recv() {
	}
}

func (s *serverSide) sendHeader(kv ...string) {
	if err := s.stream.SendHeader(metadata.Pairs(kv...)); err != nil {
		s.end(err)
	}
}

// awaitCancel waits until the call is given up by the client's side.
func (s *serverSide) awaitCancel() {
	select {
	case <-s.stream.Context().Done():
		s.add("context: %v", s.stream.Context().Err())
	case <-time.After(patience):
		s.tb.Error("the call was not given up")
	}
}
