package frames

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds waits that should be short.
const patience = time.Minute

// rawCodec takes messages as bytes.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}
func (rawCodec) Name() string { return "proto" }

// order is a request: how many messages of which size the answer has, and with which status it ends.
type order struct {
	messages, size int
	code           codes.Code
}

func (o order) bytes() []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(o.messages))
	b = binary.BigEndian.AppendUint32(b, uint32(o.size))
	return binary.BigEndian.AppendUint32(b, uint32(o.code))
}

func (o order) message(i int) []byte {
	m := make([]byte, o.size)
	for j := range m {
		m[j] = byte(i + j*7)
	}
	return m
}

// site answers calls of methods by their last name: the storage and gRPC's server of the proxy do it alike, and tell who they are.
type site struct {
	name string

	mu      sync.Mutex
	calls   map[string]int
	entered chan string   // the methods of calls as they begin
	release chan struct{} // closed to let waiting calls go on
}

func newSite(name string) *site {
	return &site{name: name, calls: map[string]int{}, entered: make(chan string, 10_000), release: make(chan struct{})}
}

func (s *site) count(method string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[method]
}

func (s *site) handle(_ any, ss grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(ss)
	method := full[strings.LastIndex(full, "/")+1:]
	s.mu.Lock()
	s.calls[method]++
	s.mu.Unlock()
	s.entered <- method
	md, _ := metadata.FromIncomingContext(ss.Context())
	header := metadata.Pairs("served-by", s.name, "data-bin", "\x00\xff\x01")
	for _, v := range md.Get("echo") {
		header.Append("echo", v)
	}
	trailer := metadata.Pairs("ended-by", s.name)
	ss.SetTrailer(trailer)
	if method == "Bidi" {
		if err := ss.SendHeader(header); err != nil {
			return err
		}
		for {
			var m []byte
			if err := ss.RecvMsg(&m); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			if err := ss.SendMsg(&m); err != nil {
				return err
			}
		}
	}
	var request []byte
	if err := ss.RecvMsg(&request); err != nil {
		return err
	}
	switch method {
	case "Wait", "Half":
		if method == "Half" {
			if err := errors.Join(ss.SendHeader(header), ss.SendMsg(&request)); err != nil {
				return err
			}
		}
		select {
		case <-ss.Context().Done():
			return status.FromContextError(ss.Context().Err()).Err()
		case <-s.release:
		}
		if method == "Half" {
			return nil
		}
	case "Refuse", "RefuseAtLength":
		if method == "RefuseAtLength" {
			if err := ss.SetHeader(header); err != nil {
				return err
			}
		}
		return status.Error(codes.NotFound, "no such thing: ü %")
	case "Deadline":
		deadline, ok := ss.Context().Deadline()
		request = fmt.Append(nil, ok, time.Until(deadline).Round(time.Second))
	case "Order":
		o := order{
			int(binary.BigEndian.Uint32(request)), int(binary.BigEndian.Uint32(request[4:])), codes.Code(binary.BigEndian.Uint32(request[8:])),
		}
		if err := ss.SendHeader(header); err != nil {
			return err
		}
		for i := range o.messages {
			m := o.message(i)
			if err := ss.SendMsg(&m); err != nil {
				return err
			}
		}
		return status.Error(o.code, "as ordered")
	}
	if err := ss.SendHeader(header); err != nil {
		return err
	}
	return ss.SendMsg(&request)
}

// testPolicy diverts all methods of the service read.
type testPolicy struct {
	mu      sync.Mutex
	backend *Backend // nil passes all calls
	change  func(*Diversion)
	results []Result
	taken   int
	passed  map[Why]int
	dropped int
}

func (p *testPolicy) May(_ net.Conn, fields []hpack.HeaderField) (any, bool) {
	return fields, strings.HasPrefix(Value(fields, ":path"), "/read/")
}

func (p *testPolicy) Divert(call any, first []byte) *Diversion {
	fields := call.([]hpack.HeaderField)
	p.mu.Lock()
	b, change := p.backend, p.change
	p.mu.Unlock()
	if b == nil {
		return nil
	}
	d := &Diversion{
		Backend: b, Message: [][]byte{first},
		Taken: func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.taken++
		},
		Ended: func(r Result) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.results = append(p.results, r)
		},
	}
	for _, f := range fields {
		if f.Name != "grpc-timeout" {
			d.Fields = append(d.Fields, f)
		}
	}
	if timeout, ok := Timeout(fields); ok {
		d.Deadline = time.Now().Add(timeout)
	}
	if change != nil {
		change(d)
	}
	return d
}

func (p *testPolicy) Passed(_ any, why Why) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.passed == nil {
		p.passed = map[Why]int{}
	}
	p.passed[why]++
}

// wasPassed is how many calls were passed for a reason.
func (p *testPolicy) wasPassed(why Why) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed[why]
}

func (p *testPolicy) Dropped(any, time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dropped++
}

// set has the policy decide in another way.
func (p *testPolicy) set(b *Backend, change func(*Diversion)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend, p.change = b, change
}

func (p *testPolicy) counts() (ended, passed, dropped int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.passed {
		passed += n
	}
	return len(p.results), passed, p.dropped
}

func (p *testPolicy) last() Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.results) == 0 {
		return Result{}
	}
	return p.results[len(p.results)-1]
}

// frontCredentials put a Front below gRPC's server.
type frontCredentials struct {
	credentials.TransportCredentials
	policy Policy
	cfg    Config
	direct bool // writes may be tried on the socket
	most   int  // of sender, if it is not 0
	made   func(*Front)
}

func (c frontCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cfg := c.cfg
	if cfg.Busy = !c.direct; c.direct {
		cfg.Socket = raw.(syscall.Conn)
	}
	f := NewFront(raw, c.policy, cfg)
	if c.most > 0 {
		f.out.most = c.most
		if err := raw.(*net.TCPConn).SetWriteBuffer(c.most); err != nil {
			return nil, nil, err
		}
	}
	if c.made != nil {
		c.made(f)
	}
	return f, nil, nil
}

// fixture is a client, a proxy with a Front below its gRPC's server, and a storage.
type fixture struct {
	t       testing.TB
	storage *site
	proxy   *site
	policy  *testPolicy

	storageServer *grpc.Server
	server        *grpc.Server
	address       string // of the proxy
	storageAddr   string
	backend       *Backend

	mu     sync.Mutex
	fronts []*Front
}

type setup struct {
	cfg     Config
	direct  bool
	most    int
	server  []grpc.ServerOption
	storage []grpc.ServerOption
	backend BackendConfig
}

func newFixture(t testing.TB, change func(*setup)) *fixture {
	t.Helper()
	s := &setup{direct: true}
	s.server = []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.MaxHeaderListSize(128 << 10),
	}
	if change != nil {
		change(s)
	}
	x := &fixture{t: t, storage: newSite("storage"), proxy: newSite("grpc")}
	x.storageServer, x.storageAddr = x.serve(x.storage, nil, s.storage)
	x.backend = x.dialBackend(s)
	x.policy = &testPolicy{backend: x.backend}
	creds := frontCredentials{insecure.NewCredentials(), x.policy, s.cfg, s.direct, s.most, func(f *Front) {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.fronts = append(x.fronts, f)
	}}
	x.server, x.address = x.serve(x.proxy, creds, s.server)
	t.Cleanup(func() {
		x.server.Stop()
		x.backend.Close(errors.New("the test is over"))
		x.storageServer.Stop()
	})
	return x
}

// front is the Front of the first client.
func (x *fixture) front() *Front {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.fronts[0]
}

func (x *fixture) serve(s *site, creds credentials.TransportCredentials, opts []grpc.ServerOption) (*grpc.Server, string) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		x.t.Fatal(err)
	}
	opts = append(opts, grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(s.handle), grpc.WaitForHandlers(true))
	if creds != nil {
		opts = append(opts, grpc.Creds(creds))
	}
	server := grpc.NewServer(opts...)
	go func() { _ = server.Serve(lis) }()
	return server, lis.Addr().String()
}

func (x *fixture) dialBackend(s *setup) *Backend {
	x.t.Helper()
	conn, err := net.Dial("tcp", x.storageAddr)
	if err != nil {
		x.t.Fatal(err)
	}
	if s.direct {
		s.backend.Socket = conn.(syscall.Conn)
	}
	b, err := NewBackend(conn, s.backend)
	if err != nil {
		x.t.Fatal(err)
	}
	return b
}

func (x *fixture) client(opts ...grpc.DialOption) *grpc.ClientConn {
	x.t.Helper()
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{})))
	conn, err := grpc.NewClient("passthrough:///"+x.address, opts...)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// answer is what a client got.
type answer struct {
	header, trailer metadata.MD
	messages        [][]byte
	err             error
}

func (a answer) by() string { return strings.Join(a.trailer.Get("ended-by"), ",") }

// ask makes a call with one request, whose answer may be a stream.
func ask(ctx context.Context, conn *grpc.ClientConn, method string, request []byte) (a answer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cs, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return answer{err: err}
	}
	if err := errors.Join(cs.SendMsg(&request), cs.CloseSend()); err != nil {
		return answer{err: err}
	}
	for {
		var m []byte
		if err := cs.RecvMsg(&m); err != nil {
			if !errors.Is(err, io.EOF) {
				a.err = err
			}
			break
		}
		a.messages = append(a.messages, m)
	}
	a.header, _ = cs.Header()
	a.trailer = cs.Trailer()
	return a
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		if holds() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}
