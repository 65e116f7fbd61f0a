package storage

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func noAnswer() bool { return false }

// stopped is a listener whose process can be stopped: what it is sent piles up in the
// kernel, which acknowledges it.
type stopped struct {
	net.Listener
	mu sync.RWMutex // held while it is stopped
}

func (s *stopped) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &stoppable{Conn: c, by: s}, nil
}

type stoppable struct {
	net.Conn
	by *stopped
}

func (c *stoppable) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.by.mu.RLock() // what was read meanwhile is handled when it goes on
	defer c.by.mu.RUnlock()
	return n, err
}

// A process that is stopped on a host that answers is given up after Stall only; reads
// that have no answer leave it before.
func TestSet_waitsLongerForAProcessWhoseHostAnswers(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			l, address := listenStoppable(t, network)
			newFakeStorage("disk-1").serve(t, l)
			cfg := patient()
			cfg.ProbeTimeout, cfg.Silence, cfg.Stall = 100*time.Millisecond, 200*time.Millisecond, 3*time.Second
			s := start(t, cfg, target(address))
			c := conn(t, s)
			unanswered, done := c.WhileAudible(t.Context(), noAnswer)
			defer done()
			answered, alsoDone := c.WhileAudible(t.Context(), func() bool { return true })
			defer alsoDone()

			l.mu.Lock()
			began := time.Now()
			await(t, s, "stalled", func(r observation) bool { return r.Stalled && r.Reachable && r.Slow() })
			<-unanswered.Done()
			if answered.Err() != nil && c.Err() == nil {
				t.Error("a read with an answer was cut off while the connection lives")
			}
			later, laterDone := c.WhileAudible(t.Context(), noAnswer)
			defer laterDone()
			<-c.Lost()
			if took := time.Since(began); took < cfg.Stall-cfg.Silence {
				t.Errorf("it was given up after %v", took)
			}
			for _, ctx := range []context.Context{answered, later} {
				<-ctx.Done()
				if status.Code(context.Cause(ctx)) != codes.Unavailable {
					t.Errorf("the cause is %v", context.Cause(ctx))
				}
			}
			if r := s.Observations()[0]; r.Stalled || !r.Silent {
				t.Errorf("given up: got %+v", r)
			}
			l.mu.Unlock()
			await(t, s, "reachable", reachable)
		})
	}
}

// A stall that ends leaves nothing behind.
func TestSet_keepsAProcessThatGoesOn(t *testing.T) {
	l, address := listenStoppable(t, "tcp")
	newFakeStorage("disk-1").serve(t, l)
	cfg := patient()
	cfg.ProbeTimeout, cfg.Silence, cfg.Stall = 100*time.Millisecond, 200*time.Millisecond, time.Minute
	s := start(t, cfg, target(address))
	c := conn(t, s)
	l.mu.Lock()
	await(t, s, "stalled", func(r observation) bool { return r.Stalled })
	l.mu.Unlock()
	r := await(t, s, "well", func(r observation) bool { return !r.Stalled && !r.Slow() })
	if r.Generation != c.Generation() || c.Err() != nil {
		t.Errorf("the connection was given up: %v", c.Err())
	}
	audible, done := c.WhileAudible(t.Context(), noAnswer)
	defer done()
	if audible.Err() != nil {
		t.Error("a later read is cut off")
	}
}

func listenStoppable(t *testing.T, network string) (l *stopped, address string) {
	t.Helper()
	if network == "unix" {
		path := t.TempDir() + "/s"
		plain, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return &stopped{Listener: plain}, "unix:" + path
	}
	plain := listen(t, "127.0.0.1:0")
	return &stopped{Listener: plain}, "tcp://" + plain.Addr().String()
}
