package storage

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
)

// newSpeakingStorage is a storage that speaks the backchannel.
func newSpeakingStorage(disk string, opts ...grpc.ServerOption) *fakeStorage {
	return newFakeStorage(disk, append(opts, grpc.Creds(channel.NewServerCredentials(nil, channel.Config{})))...)
}

// noVotes answers nothing on a backchannel.
func noVotes(*Conn) *grpc.Server { return grpc.NewServer() }

// voters makes back servers that tell whose they are.
type voters struct {
	mu   sync.Mutex
	made []*Conn // guarded by mu
}

func (v *voters) server(c *Conn) *grpc.Server {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.made = append(v.made, c)
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, voter{conn: c})
	return server
}

type voter struct {
	healthpb.UnimplementedHealthServer
	conn *Conn
}

// Check answers with an error that tells over which connection it was called.
func (v voter) Check(context.Context, *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	return nil, status.Errorf(codes.Aborted, "%s %d", v.conn.Target().Storage, v.conn.Generation())
}

// callsBack has a storage call back whenever Watch is called, and note the answer.
func callsBack(answers chan<- string) grpc.ServerOption {
	return grpc.ChainStreamInterceptor(func(_ any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, _ grpc.StreamHandler) error {
		session, ok := channel.FromContext(stream.Context())
		if !ok {
			answers <- "no backchannel"
			return nil
		}
		back, err := session.Client()
		if err != nil {
			return err
		}
		_, err = healthpb.NewHealthClient(back).Check(stream.Context(), &healthpb.HealthCheckRequest{})
		answers <- status.Convert(err).Message()
		return nil
	})
}

// calledBack is whom a storage reaches when it calls back while it is called.
func calledBack(t *testing.T, c *Conn, answers <-chan string) string {
	t.Helper()
	stream, err := healthpb.NewHealthClient(c).Watch(WithBackchannel(t.Context()), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = stream.Recv() // it ends after the answer
	return <-answers
}

// TestConn_backchannelIsItsOwn has two storages at one address: each connection
// is called back by itself, also after it was made anew.
func TestConn_backchannelIsItsOwn(t *testing.T) {
	answers := make(chan string, 1)
	f := newSpeakingStorage("disk-1", callsBack(answers))
	l := listen(t, "127.0.0.1:0")
	f.serve(t, l)
	v := new(voters)
	cfg := patient()
	cfg.Backchannel = v.server
	one, two := target("tcp://"+l.Addr().String()), target("tcp://"+l.Addr().String())
	two.Storage = "another"
	s := start(t, cfg, one, two)
	if err := s.Settled(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"gitaly-1 1", "another 1"} {
		name, _, _ := strings.Cut(want, " ")
		c, err := s.Conn("default", name)
		if err != nil {
			t.Fatal(err)
		}
		if got := calledBack(t, c, answers); got != want || !c.Backchannel() || c.Sidechannels() == nil {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	s.Renew("default", "gitaly-1", 1)
	r := await(t, s, "made anew", func(r observation) bool { return r.Generation == 2 })
	c, err := s.Conn("default", "gitaly-1")
	if err != nil {
		t.Fatal(err)
	}
	if got := calledBack(t, c, answers); got != "gitaly-1 2" || !r.Backchannel {
		t.Errorf("after Renew: got %q, %+v", got, r)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.made) != 3 || !slices.Contains(v.made, c) {
		t.Errorf("%d servers were made for 3 connections", len(v.made))
	}
}

// TestSet_storageWithoutBackchannel connects to a storage that does not speak
// it, sees that nobody is there when it stops, and notices that it was upgraded.
func TestSet_storageWithoutBackchannel(t *testing.T) {
	answers := make(chan string, 1)
	l := listen(t, "127.0.0.1:0")
	address := l.Addr().String()
	f := newFakeStorage("disk-1", callsBack(answers))
	f.serve(t, l)
	var lines lockedBuffer
	cfg := patient()
	cfg.Backchannel = new(voters).server
	s, err := New([]Target{target("tcp://" + address)}, slog.New(slog.NewTextHandler(&lines, nil)), NewMetrics(prometheus.NewRegistry()), cfg)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)

	for generation := uint64(1); generation <= 2; generation++ {
		r := await(t, s, "reachable", func(r observation) bool { return r.Generation == generation })
		c, err := s.Conn("default", "gitaly-1")
		if err != nil {
			t.Fatal(err)
		}
		if r.Backchannel || c.Backchannel() || calledBack(t, c, answers) != "no backchannel" {
			t.Errorf("got %+v", r)
		}
		s.Renew("default", "gitaly-1", generation)
	}
	await(t, s, "made anew", func(r observation) bool { return r.Generation == 3 })
	f.Stop()
	if r := await(t, s, "refused", func(r observation) bool { return r.Refused }); r.Reachable {
		t.Errorf("got %+v", r)
	}
	newSpeakingStorage("disk-1").serve(t, listen(t, address))
	if r := await(t, s, "reachable", reachable); !r.Backchannel {
		t.Errorf("upgraded: got %+v", r)
	}
	if n := strings.Count(lines.String(), "does not speak the backchannel"); n != 1 {
		t.Errorf("%d warnings in\n%s", n, lines.String())
	}
	if n := strings.Count(lines.String(), "speaks the backchannel now"); n != 1 {
		t.Errorf("%d good news in\n%s", n, lines.String())
	}
}

// TestSet_startingStorageIsNotMute has a storage that closes the first
// connections that it gets, as one does behind a balancer while it starts.
func TestSet_startingStorageIsNotMute(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	newSpeakingStorage("disk-1").serve(t, &unready{Listener: l, closes: 1})
	cfg := patient()
	cfg.Backchannel = noVotes
	if c := conn(t, start(t, cfg, target("tcp://"+l.Addr().String()))); !c.Backchannel() {
		t.Error("it passes for one that does not speak the backchannel")
	}
}

// unready closes so many connections before it gives out any.
type unready struct {
	net.Listener
	closes int
}

func (u *unready) Accept() (net.Conn, error) {
	for ; u.closes > 0; u.closes-- {
		c, err := u.Listener.Accept()
		if err != nil {
			return nil, err
		}
		_ = c.Close() // what it wanted does not matter
	}
	return u.Listener.Accept()
}

// lockedBuffer takes log lines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
