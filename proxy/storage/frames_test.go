package storage

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"

	"praefect/proxy/frames"
)

const infoMethod = gitalypb.ServerService_ServerInfo_FullMethodName

// withFrames are patient settings with a connection for frames.
func withFrames() Config {
	cfg := patient()
	cfg.Frames = true
	return cfg
}

// divert begins an RPC over the connection for frames, once there is one.
func divert(t *testing.T, c *Conn, method string) (*frames.Backend, []hpack.HeaderField) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if backend, fields, ok := c.Divert(method); ok {
			return backend, fields
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("there is no connection for frames")
		}
	}
}

// TestConn_frames: an RPC over the connection for frames proves to know the secret, as it is now, and
// counts as one that is under way.
func TestConn_frames(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	to := target("tcp://" + l.Addr().String())
	s := start(t, withFrames(), to)
	c := conn(t, s)
	for _, secret := range []string{"secret", "another"} {
		to.Token = secret
		if err := s.Move([]Target{to}); err != nil {
			t.Fatal(err)
		}
		backend, fields := divert(t, c, infoMethod)
		if n := c.Outstanding(); n != 1 {
			t.Errorf("outstanding: %d", n)
		}
		_, st, err := backend.Call(t.Context(), fields, nil)
		c.Diverted()
		if err != nil || st.Code() != codes.OK || c.Outstanding() != 0 {
			t.Errorf("got %v, %v, outstanding %d", st, err, c.Outstanding())
		}
		arrived := f.arrived(infoMethod)
		got := arrived[len(arrived)-1].token
		if now := time.Now(); len(got) != 1 || got[0] != Token(secret, now) && got[0] != Token(secret, now.Add(-time.Second)) {
			t.Errorf("token: got %q", got)
		}
	}
}

// TestConn_framesAreLostWithIt: nothing is begun on a connection that was given up, and the storage that
// is back has another one.
func TestConn_framesAreLostWithIt(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, withFrames(), target("tcp://"+l.Addr().String()))
	c := conn(t, s)
	divert(t, c, infoMethod)
	c.Diverted()
	s.Renew("default", "gitaly-1", c.Generation())
	<-c.Lost()
	if _, _, ok := c.Divert(infoMethod); ok {
		t.Error("an RPC began on a connection that was given up")
	}
	await(t, s, "made anew", func(r observation) bool { return r.Reachable && r.Generation == c.Generation()+1 })
	divert(t, conn(t, s), infoMethod)
}

// journal is a log that a test reads.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) has(text string) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Contains(j.text.String(), text)
}

// TestSet_framesNeedTheSameDisk has the address lead to another disk, or nowhere, from the second
// network connection on: the storage stays reachable, and no read takes frames.
func TestSet_framesNeedTheSameDisk(t *testing.T) {
	one, other := newFakeStorage("disk-1"), newFakeStorage("disk-2")
	first, second := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	one.serve(t, first)
	other.serve(t, second)
	for why, dial := range map[string]func(context.Context) (net.Conn, error){
		"and is \\\"disk-2\\\" a moment later": func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", second.Addr().String())
		},
		"no second connection": func(context.Context) (net.Conn, error) { return nil, errors.New("no second connection") },
	} {
		var mu sync.Mutex
		var dials int
		cfg := withFrames()
		cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if dials++; dials > 1 {
				return dial(ctx)
			}
			return new(net.Dialer).DialContext(ctx, network, first.Addr().String())
		}
		var log journal
		s, err := New([]Target{target("tcp://storage:1")}, slog.New(slog.NewTextHandler(&log, nil)), NewMetrics(prometheus.NewRegistry()), cfg)
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		c := conn(t, s)
		await(t, s, "refused for frames", func(observation) bool { return log.has(why) })
		if _, _, ok := c.Divert(infoMethod); ok {
			t.Errorf("%s: there is a connection for frames", why)
		}
		if r := s.Observations()[0]; !r.Reachable || r.Generation != 1 {
			t.Errorf("%s: got %+v", why, r)
		}
	}
}

// TestSet_lossDoesNotWaitForFrames has the connection for frames lead to a server that says nothing.
func TestSet_lossDoesNotWaitForFrames(t *testing.T) {
	l, mute := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	defer mute.Close()
	newFakeStorage("disk-1").serve(t, l)
	var dials atomic.Int32
	cfg := withFrames()
	cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		to := l
		if dials.Add(1) == 2 {
			to = mute
		}
		return new(net.Dialer).DialContext(ctx, network, to.Addr().String())
	}
	s := start(t, cfg, target("tcp://storage:1"))
	c := conn(t, s)
	waiting, err := mute.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	s.Renew("default", "gitaly-1", c.Generation())
	select {
	case <-c.Lost():
	case <-time.After(5 * time.Second): // half of the time that a server has for its first word
		t.Error("the loss waits for the connection for frames")
	}
}
