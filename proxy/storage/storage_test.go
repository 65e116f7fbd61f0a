package storage

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const (
	checkMethod = "/grpc.health.v1.Health/Check"
	watchMethod = "/grpc.health.v1.Health/Watch"
)

func TestSet_handsOutAVerifiedConnection(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))

	c := conn(t, s)
	if c.FilesystemID() != "disk-1" || c.ServerVersion() != "16.11" || c.GitVersion() != "2.44" || c.Generation() != 1 {
		t.Errorf("got %q %q %q generation %d", c.FilesystemID(), c.ServerVersion(), c.GitVersion(), c.Generation())
	}
	if _, err := healthpb.NewHealthClient(c).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Error(err)
	}
	for _, call := range f.arrived(checkMethod) {
		if len(call.token) != 1 || !strings.HasPrefix(call.token[0], "Bearer v2.") {
			t.Errorf("token: got %q", call.token)
		}
	}
	r := s.Observation("default", "gitaly-1")
	if r.Since.IsZero() || r.FilesystemID != "disk-1" || r.Err != nil || r.Slow() {
		t.Errorf("state: got %+v", r)
	}
}

func TestSet_connectsByEveryTransport(t *testing.T) {
	certificate, roots := selfSigned(t)
	socket := filepath.Join(t.TempDir(), "s")
	unix, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	plain, secure, old := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(plain.Addr().String())
	secureOption := grpc.Creds(credentials.NewServerTLSFromCert(&certificate))
	for _, row := range []struct {
		address  string
		listener net.Listener
		opts     []grpc.ServerOption
	}{
		{"unix:" + socket, unix, nil},
		{"dns:localhost:" + port, plain, nil},
		{"tls://" + secure.Addr().String(), secure, []grpc.ServerOption{secureOption}},
		// A hop that knows no ALPN.
		{"tls://" + old.Addr().String(), tls.NewListener(old, &tls.Config{Certificates: []tls.Certificate{certificate}}), nil},
	} {
		newFakeStorage("disk-1", row.opts...).serve(t, row.listener)
		cfg := patient()
		cfg.TLS = &tls.Config{RootCAs: roots}
		s := start(t, cfg, target(row.address))
		if c := conn(t, s); c.FilesystemID() != "disk-1" {
			t.Errorf("%s: got %q", row.address, c.FilesystemID())
		}
	}
}

func TestSet_publishesNothingUnverified(t *testing.T) {
	for _, row := range []struct {
		name  string
		wrong func(*fakeStorage)
		want  string
	}{
		{"another storage", func(f *fakeStorage) { f.name = "gitaly-2" }, `no storage "gitaly-1"`},
		{"no disk", func(f *fakeStorage) { f.disk = "" }, "no file system id"},
		{"not serving", func(f *fakeStorage) {
			f.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
		}, "NOT_SERVING"},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			f := newFakeStorage("disk-1")
			row.wrong(f)
			f.serve(t, l)
			s := start(t, patient(), target("tcp://"+l.Addr().String()))
			await(t, s, "refused", func(r observation) bool {
				return !r.Reachable && strings.Contains(r.Err.Error(), row.want)
			})
		})
	}
}

func TestSet_saysWhyAStorageIsUnreachable(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	if err := s.Settled(t.Context()); err != nil {
		t.Error(err)
	}
	_, err := s.Conn("default", "gitaly-1")
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), l.Addr().String()+") is unreachable: dial tcp") || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
	if _, err := s.Conn("other", "gitaly-1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("unknown storage: got %v", err)
	}
	if r := s.Observation("default", "gitaly-2"); !errors.Is(r.Err, ErrUnknown) {
		t.Errorf("observation of an unknown storage: got %+v", r)
	}
	if got, err := s.Target("default", "gitaly-1"); err != nil || got.Token != "secret" {
		t.Errorf("target: got %+v, %v", got, err)
	}

	newFakeStorage("disk-1").serve(t, listen(t, l.Addr().String()))
	conn(t, s)
}

func TestSet_connectsAgainAfterARestart(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	first := newFakeStorage("disk-1")
	first.serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	old := conn(t, s)
	stream := watch(t, t.Context(), old)

	first.Stop()
	<-old.Lost()
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream of the old connection: got %v", err)
	}
	if old.Err() == nil {
		t.Error("a lost connection has no error")
	}

	second := newFakeStorage("disk-2")
	second.serve(t, listen(t, l.Addr().String()))
	r := await(t, s, "reachable", reachable)
	if r.FilesystemID != "disk-2" || r.Generation != 2 {
		t.Errorf("got %+v", r)
	}
	_, err := healthpb.NewHealthClient(old).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("a stream on the old connection: got %v", err)
	}
	if calls := second.arrived(watchMethod); len(calls) != 0 {
		t.Errorf("an RPC routed over the old connection arrived over the new one")
	}
}

// The ClientConn under a Conn learns of a broken transport before we do.
func TestConn_neverDialsAgain(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	first := newFakeStorage("disk-1")
	first.serve(t, l)
	address := "tcp://" + l.Addr().String()
	addr, err := parseAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := patient().withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), newPlace(target(address), addr), 1, cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	first.Stop()
	second := newFakeStorage("disk-1")
	second.serve(t, listen(t, l.Addr().String()))
	for range 3 {
		err := c.Invoke(t.Context(), checkMethod, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{}, grpc.WaitForReady(false))
		if status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	}
	if calls := second.arrived(checkMethod); len(calls) != 0 {
		t.Errorf("%d RPCs went over a second connection", len(calls))
	}
	c.giveUp(errStopped)
	if err := c.drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSet_letsRPCsEndWhenTheStorageStopsInOrder(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	c := conn(t, s)
	stream := watch(t, t.Context(), c)

	stopped := make(chan struct{})
	go func() { defer close(stopped); f.GracefulStop() }()
	<-c.Lost()
	f.health.Shutdown()
	update, err := stream.Recv()
	if err != nil || update.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the RPC that was under way: got %v, %v", update, err)
	}
	f.Stop()
	<-stopped
}

func TestSet_keepsASlowStorage(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	c := conn(t, s)
	f.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	await(t, s, "slow", observation.Slow)
	if c.Err() != nil {
		t.Errorf("the connection of a slow storage was given up: %v", c.Err())
	}
	f.health.SetServingStatus("", healthpb.HealthCheckResponse_SERVING)
	await(t, s, "well", func(r observation) bool { return r.Reachable && r.Err == nil && r.Latency > 0 })
}

func TestConn_countsWhatIsUnderWay(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	newFakeStorage("disk-1").serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	c := conn(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	stream := watch(t, ctx, c)
	watch(t, ctx, c)
	if got := c.Outstanding(); got != 2 {
		t.Errorf("two streams: got %d", got)
	}
	cancel()
	if _, err := stream.Recv(); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if _, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{}); status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	if _, err := c.NewStream(t.Context(), &grpc.StreamDesc{}, "/no/such", grpc.UseCompressor("none such")); err == nil {
		t.Error("a stream without its compressor began")
	}
	await(t, s, "without RPCs", func(r observation) bool { return r.Outstanding == 0 })
}

func TestConn_datesTheTokenAsTold(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, patient(), target("tcp://"+l.Addr().String()))
	then := time.Unix(1535671615, 0)
	watch(t, WithTokenTime(t.Context(), then), conn(t, s))
	calls := f.arrived(watchMethod)
	if len(calls) != 1 || len(calls[0].token) != 1 || calls[0].token[0] != Token("secret", then) {
		t.Errorf("got %v", calls)
	}
}

func TestNew_reportsEveryFault(t *testing.T) {
	_, err := New([]Target{
		target("tcp://a:1"), target("http://a:1"),
		{VirtualStorage: "default", Storage: "gitaly-2", Address: "tcp://a"},
	}, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()), Config{})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{`"http://a:1"`, "given twice", `"tcp://a"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	for _, cfg := range []Config{
		{ProbeInterval: time.Second, Silence: time.Second},
		{BackoffMin: 2 * time.Second},
		{DialTimeout: -1},
	} {
		if _, err := New(nil, slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry()), cfg); err == nil {
			t.Errorf("accepted %+v", cfg)
		}
	}
}

func TestMetrics_lint(t *testing.T) {
	reg := prometheus.NewRegistry()
	NewMetrics(reg).of(target("tcp://a:1")).latency.Observe(1)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) != 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}

// selfSigned returns a certificate for 127.0.0.1 and the roots that trust it.
func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}, roots
}

// TestLink_renewsWhatIsNotWatchedYet: a connection can be used, and is to be made anew, a moment before
// it is watched.
func TestLink_renewsWhatIsNotWatchedYet(t *testing.T) {
	l := &link{cfg: patient()}
	f := newFakeStorage("disk-1")
	listener := listen(t, "127.0.0.1:0")
	f.serve(t, listener)
	s := start(t, patient(), target("tcp://"+listener.Addr().String()))
	c := conn(t, s)
	l.place.Store(&place{target: c.target})
	l.renew(c.generation)
	if err := l.watch(t.Context(), c); err != errRenewed {
		t.Errorf("got %v", err)
	}
}
