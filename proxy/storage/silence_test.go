package storage

import (
	"context"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// network is an in-memory network to one storage that can stop to deliver what
// the storage says, without breaking anything, and go on.
type network struct {
	*bufconn.Listener

	mu    sync.Mutex
	quiet chan struct{} // guarded by mu; nil while it delivers, closed at its end
}

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	c, err := n.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &delayed{Conn: c, network: n, closed: make(chan struct{})}, nil
}

func (n *network) stop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.quiet = make(chan struct{})
}

func (n *network) goOn() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.quiet)
	n.quiet = nil
}

type delayed struct {
	net.Conn
	network *network
	close   sync.Once
	closed  chan struct{}
}

func (d *delayed) Read(p []byte) (int, error) {
	n, err := d.Conn.Read(p)
	d.network.mu.Lock()
	quiet := d.network.quiet
	d.network.mu.Unlock()
	if quiet != nil && err == nil {
		select {
		case <-quiet:
		case <-d.closed:
			return 0, net.ErrClosed
		}
	}
	return n, err
}

func (d *delayed) Close() error {
	d.close.Do(func() { close(d.closed) })
	return d.Conn.Close()
}

// bubble runs a test with a fake storage on an in-memory network, default
// settings, and time of its own: with a storage that speaks the backchannel, and
// with one that does not, whether it is asked to or not.
func bubble(t *testing.T, test func(t *testing.T, f *fakeStorage, n *network, s *Set)) {
	for _, row := range []struct {
		name         string
		asked, spoke bool
	}{
		{"plain", false, false},
		{"backchannel", true, true},
		{"no backchannel", true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			emptyPools()
			defer emptyPools()
			synctest.Test(t, func(t *testing.T) {
				n := &network{Listener: bufconn.Listen(1 << 20)}
				f := newFakeStorage("disk-1")
				if row.spoke {
					f = newSpeakingStorage("disk-1")
				}
				f.serve(t, n)
				cfg := Config{Dial: n.dial}
				if row.asked {
					cfg.Backchannel = noVotes
				}
				test(t, f, n, start(t, cfg, target("tcp://storage:1")))
			})
		})
	}
}

// emptyPools separates a bubble from what came before it and comes after it:
// yamux pools timers, and one of another bubble would end the process.
func emptyPools() {
	runtime.GC()
	runtime.GC() // what is in a pool survives one
}

func TestSet_givesUpASilentStorage(t *testing.T) {
	bubble(t, func(t *testing.T, _ *fakeStorage, n *network, s *Set) {
		c := conn(t, s)
		stream := watch(t, t.Context(), c)
		time.Sleep(10 * time.Second)
		if c.Err() != nil {
			t.Fatalf("an idle storage was given up: %v", c.Err())
		}

		n.stop()
		stopped := time.Now()
		<-c.Lost()
		if took := time.Since(stopped); took < time.Second || took > 1500*time.Millisecond {
			t.Errorf("silence was noticed after %v", took)
		}
		_, err := s.Conn("default", "gitaly-1")
		if err == nil || status.Code(c.Invoke(t.Context(), checkMethod, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{})) != codes.Unavailable {
			t.Error("a silent storage is still used")
		}
		time.Sleep(7 * time.Second)
		if r := s.Observations()[0]; r.Reachable {
			t.Error("a silent storage is reachable")
		}

		// What was under way is not cut off: it goes on when the storage does.
		n.goOn()
		resumed := time.Now()
		await(t, s, "reachable", reachable)
		if took := time.Since(resumed); took > 1100*time.Millisecond {
			t.Errorf("the storage was found again after %v", took)
		}
		if c.Outstanding() != 1 {
			t.Errorf("RPCs of the old connection: got %d, want 1", c.Outstanding())
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	})
}

func TestSet_keepsAStorageThatIsBusyTalking(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeStorage, _ *network, s *Set) {
		c := conn(t, s)
		stream := watch(t, t.Context(), c)
		f.hang(checkMethod)
		for i := range 40 {
			f.health.SetServingStatus("", healthpb.HealthCheckResponse_ServingStatus(2-i%2))
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(250 * time.Millisecond)
		}
		if r := s.Observations()[0]; !r.Slow() {
			t.Errorf("health checks hang while the storage talks: got %+v, want slow", r)
		}
		f.resume()
	})
}

func TestSet_growsItsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		dials := 0
		s := start(t, Config{Dial: func(context.Context, string, string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			dials++
			return nil, context.DeadlineExceeded
		}}, target("tcp://storage:1"))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if dials < 60 || dials > 130 {
			t.Errorf("got %d attempts in a minute", dials)
		}
		if s.Observations()[0].Reachable {
			t.Error("reachable")
		}
	})
}

func TestSet_settledWaitsForEveryFirstAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s := start(t, Config{Dial: slow}, target("tcp://storage:1"))
		early, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Settled(early); err != context.DeadlineExceeded {
			t.Errorf("before the first attempt has ended: got %v", err)
		}
		begun := time.Now()
		if err := s.Settled(t.Context()); err != nil || time.Since(begun) > 2*time.Second {
			t.Errorf("got %v after %v", err, time.Since(begun))
		}
	})
}

// A storage is asked twice a second while it is in use and for a while after, and once a second else.
func TestSet_asksAQuietStorageSeldom(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeStorage, _ *network, s *Set) {
		c := conn(t, s)
		perSecond := func(seconds int) float64 {
			before, rounds := len(f.arrived(checkMethod)), float64(seconds)
			time.Sleep(time.Duration(seconds) * time.Second)
			asked := float64(len(f.arrived(checkMethod))-before) / rounds
			if c.plain != c.channel {
				asked *= secondEvery / (secondEvery + 1.0) // the other path's
			}
			return asked
		}
		time.Sleep(usedFor + time.Second)
		if s.Observations()[0].InUse {
			t.Error("a storage that was not used counts as in use")
		}
		if got := perSecond(60); got < 0.9 || got > 1.1 {
			t.Errorf("a quiet storage is asked %.2f times a second", got)
		}
		if err := c.Invoke(t.Context(), checkMethod, &healthpb.HealthCheckRequest{}, &healthpb.HealthCheckResponse{}); err != nil {
			t.Fatal(err)
		}
		if !s.Observations()[0].InUse {
			t.Error("a storage that was just used counts as quiet")
		}
		time.Sleep(time.Second) // the pause under way is one of a quiet storage
		if got := perSecond(3); got < 1.6 {
			t.Errorf("a storage in use is asked %.2f times a second", got)
		}
	})
}

// A quiet storage that says nothing any more is given up half a second later than one in use, at most.
func TestSet_givesUpAQuietStorageInTime(t *testing.T) {
	for _, after := range []time.Duration{0, 300 * time.Millisecond, 700 * time.Millisecond, 990 * time.Millisecond} {
		bubble(t, func(t *testing.T, _ *fakeStorage, n *network, s *Set) {
			c := conn(t, s)
			time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(2*usedFor + after)))
			n.stop()
			began := time.Now()
			<-c.Lost()
			if took := time.Since(began); took > 2100*time.Millisecond {
				t.Errorf("%v after a health check the storage fell silent, and was given up after %v", after, took)
			}
			n.goOn()
		})
	}
}

// A quiet storage whose connection ends is lost at once.
func TestSet_losesAQuietStorageAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeStorage, _ *network, s *Set) {
		c := conn(t, s)
		time.Sleep(2 * usedFor)
		began := time.Now()
		f.Stop()
		<-c.Lost()
		if took := time.Since(began); took > 10*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}
