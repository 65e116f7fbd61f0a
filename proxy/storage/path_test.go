package storage

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// dialed are the network connections that were made, in their order.
type dialed struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (d *dialed) dial(ctx context.Context, network, endpoint string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, endpoint)
	if err == nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.conns = append(d.conns, c)
	}
	return c, err
}

func (d *dialed) nth(n int) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.conns[n]
}

func TestConn_takesThePathThatIsNeeded(t *testing.T) {
	answers := make(chan string, 1)
	f := newSpeakingStorage("disk-1", callsBack(answers))
	l := listen(t, "127.0.0.1:0")
	f.serve(t, l)
	cfg := patient()
	cfg.Backchannel = new(voters).server
	c := conn(t, start(t, cfg, target("tcp://"+l.Addr().String())))
	for _, row := range []struct {
		ctx  context.Context
		want string
	}{
		{t.Context(), "no backchannel"},
		{WithBackchannel(t.Context()), "gitaly-1 1"},
	} {
		stream, err := healthpb.NewHealthClient(c).Watch(row.ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = stream.Recv() // it ends after the answer
		if got := <-answers; got != row.want {
			t.Errorf("got %q, want %q", got, row.want)
		}
	}
}

// TestConn_isLostWithEitherPath breaks one network connection of two.
func TestConn_isLostWithEitherPath(t *testing.T) {
	for broken, name := range []string{"backchannel", "plain"} {
		t.Run(name, func(t *testing.T) {
			f := newSpeakingStorage("disk-1")
			l := listen(t, "127.0.0.1:0")
			f.serve(t, l)
			d := new(dialed)
			cfg := patient()
			cfg.Backchannel, cfg.Dial = noVotes, d.dial
			s := start(t, cfg, target("tcp://"+l.Addr().String()))
			c := conn(t, s)
			if err := d.nth(broken).Close(); err != nil {
				t.Fatal(err)
			}
			<-c.Lost()
			for _, ctx := range []context.Context{t.Context(), WithBackchannel(t.Context())} {
				err := c.Invoke(ctx, checkMethod, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})
				if status.Code(err) != codes.Unavailable {
					t.Errorf("an RPC on the lost connection: %v", err)
				}
			}
			await(t, s, "made anew", func(r observation) bool { return r.Generation == 2 && r.Reachable })
		})
	}
}

// TestSet_refusesTwoDisks has the address lead to another disk from the second
// network connection on.
func TestSet_refusesTwoDisks(t *testing.T) {
	one, other := newSpeakingStorage("disk-1"), newSpeakingStorage("disk-2")
	first, second := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	one.serve(t, first)
	other.serve(t, second)
	var mu sync.Mutex
	var dials int
	cfg := patient()
	cfg.Backchannel = noVotes
	cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		dials++
		to := second
		if dials == 1 {
			to = first
		}
		return new(net.Dialer).DialContext(ctx, network, to.Addr().String())
	}
	cfg.BackoffMin, cfg.BackoffMax = time.Second, time.Second // time to look
	s := start(t, cfg, target("tcp://storage:1"))
	r := await(t, s, "refused", func(r observation) bool { return r.Err != errNotTried })
	if r.Reachable || !strings.Contains(r.Err.Error(), `the disk was "disk-1", and is "disk-2" a moment later`) {
		t.Errorf("got %+v", r)
	}
	r = await(t, s, "reachable", reachable)
	if r.FilesystemID != "disk-2" || r.Generation != 1 {
		t.Errorf("got %+v", r)
	}
}

// TestSet_givesUpAPathThatIsCutOff silences one network connection of two.
func TestSet_givesUpAPathThatIsCutOff(t *testing.T) {
	for cut, name := range []string{"backchannel", "plain"} {
		t.Run(name, func(t *testing.T) {
			emptyPools()
			defer emptyPools()
			synctest.Test(t, func(t *testing.T) {
				l := bufconn.Listen(1 << 20)
				f := newSpeakingStorage("disk-1")
				f.serve(t, l)
				// The first two network connections are those of the first Conn.
				networks := []*network{{Listener: l}, {Listener: l}, {Listener: l}}
				dials := 0
				cfg := Config{Backchannel: noVotes, Dial: func(ctx context.Context, net, endpoint string) (net.Conn, error) {
					n := networks[min(dials, 2)]
					dials++
					return n.dial(ctx, net, endpoint)
				}}
				s := start(t, cfg, target("tcp://storage:1"))
				c := conn(t, s)
				time.Sleep(5 * time.Second)
				networks[cut].stop()
				stopped := time.Now()
				<-c.Lost()
				if took := time.Since(stopped); took < 4*time.Second || took > 8*time.Second {
					t.Errorf("it was noticed after %v", took)
				}
				await(t, s, "reachable", func(r observation) bool { return r.Reachable && r.Generation == 2 })
				networks[cut].goOn()
			})
		})
	}
}

// TestSet_asksTheSecondPathSeldom counts health checks: a storage that is well is asked once in an
// interval, and over its backchannel's connection in every fourth. While a path is silent both are asked.
func TestSet_asksTheSecondPathSeldom(t *testing.T) {
	emptyPools()
	defer emptyPools()
	synctest.Test(t, func(t *testing.T) {
		l := bufconn.Listen(1 << 20)
		f := newSpeakingStorage("disk-1")
		f.serve(t, l)
		networks := []*network{{Listener: l}, {Listener: l}}
		dials := 0
		cfg := Config{Backchannel: noVotes, Dial: func(ctx context.Context, net, endpoint string) (net.Conn, error) {
			n := networks[min(dials, 1)]
			dials++
			return n.dial(ctx, net, endpoint)
		}}
		s := start(t, cfg, target("tcp://storage:1"))
		c := conn(t, s)
		time.Sleep(usedFor + time.Second)
		asked := func(d time.Duration) int {
			before := len(f.arrived(checkMethod))
			time.Sleep(d)
			return len(f.arrived(checkMethod)) - before
		}
		const seconds, rounds = 60, 1 // rounds a second of a storage that is not in use
		if got, want := asked(seconds*time.Second), seconds*rounds*(secondEvery+1)/secondEvery; got < want-2 || got > want+2 {
			t.Errorf("asked %d times in %d s, want %d", got, seconds, want)
		}
		networks[1].stop() // the plain path's
		if got := asked(6 * time.Second); got < 3 {
			t.Errorf("asked over the other path %d times", got)
		}
		if c.Silent() {
			t.Error("the storage looks silent, although one path works")
		}
		networks[1].goOn()
	})
}
