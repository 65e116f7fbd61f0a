package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestSet_tellsAProcessThatIsGone(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	address := l.Addr().String()
	f := newFakeStorage("disk-1")
	f.serve(t, l)
	s := start(t, patient(), target("tcp://"+address))
	if r := await(t, s, "reachable", reachable); r.Refused || r.Silent {
		t.Errorf("a reachable storage: got %+v", r)
	}
	f.Stop()
	if r := await(t, s, "refused", func(r observation) bool { return r.Refused }); r.Reachable || r.Silent {
		t.Errorf("its process is gone: got %+v", r)
	}
	newFakeStorage("disk-1").serve(t, listen(t, address))
	if r := await(t, s, "reachable", reachable); r.Refused || r.Silent {
		t.Errorf("it is back: got %+v", r)
	}
}

// Whoever waits for Changed learns at once that the redial was refused.
func TestSet_announcesARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan error)
		s := start(t, Config{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case err := <-answer:
				return nil, err
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}}, target("tcp://storage:1"))
		answer <- errors.New("no route")
		await(t, s, "tried", func(r observation) bool { return r.Err != nil && !errors.Is(r.Err, errNotTried) })
		synctest.Wait()
		changed := s.Changed()
		answer <- &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		<-changed
		if r := s.Observations()[0]; !r.Refused {
			t.Errorf("got %+v, want refused", r)
		}
	})
}

func TestSet_tellsSilence(t *testing.T) {
	bubble(t, func(t *testing.T, _ *fakeStorage, n *network, s *Set) {
		c := conn(t, s)
		n.stop()
		<-c.Lost()
		if r := s.Observations()[0]; !r.Silent || r.Refused {
			t.Errorf("given up for its silence: got %+v", r)
		}
		time.Sleep(10 * time.Second)
		if r := s.Observations()[0]; !r.Silent || r.Refused {
			t.Errorf("connections are taken and nothing is said: got %+v", r)
		}
		n.goOn()
		if r := await(t, s, "reachable", reachable); r.Silent {
			t.Errorf("it talks again: got %+v", r)
		}
	})
}

// A storage that breaks the connection without refusing another one, and then
// lets nobody in, is silent only after a while.
func TestSet_brokenConnectionIsNoSilenceYet(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeStorage, n *network, s *Set) {
		conn(t, s)
		time.Sleep(time.Minute)
		f.Stop() // bufconn says "closed", which is no refusal
		r := await(t, s, "unreachable", func(r observation) bool { return !r.Reachable })
		if r.Silent || r.Refused {
			t.Errorf("just broken: got %+v", r)
		}
		time.Sleep(1500 * time.Millisecond)
		if r := s.Observations()[0]; !r.Silent {
			t.Errorf("nobody was heard for long: got %+v", r)
		}
	})
}

// A storage that answers badly is neither gone nor silent.
func TestSet_badAnswersAreNoSilence(t *testing.T) {
	bubble(t, func(t *testing.T, f *fakeStorage, n *network, s *Set) {
		c := conn(t, s)
		f.mu.Lock()
		f.name = "gitaly-9"
		f.mu.Unlock()
		s.Renew("default", "gitaly-1", c.Generation())
		<-c.Lost()
		time.Sleep(time.Minute)
		if r := s.Observations()[0]; r.Reachable || r.Silent || r.Refused {
			t.Errorf("got %+v", r)
		}
	})
}

func TestSet_renewsTheConnectionThatWasMeant(t *testing.T) {
	bubble(t, func(t *testing.T, _ *fakeStorage, _ *network, s *Set) {
		first := conn(t, s)
		stream := watch(t, t.Context(), first)
		time.Sleep(5 * time.Second)
		for range 2 { // the second is about one that is gone
			s.Renew("default", "gitaly-1", first.Generation())
			<-first.Lost()
			await(t, s, "renewed", func(r observation) bool { return r.Generation == 2 })
			time.Sleep(5 * time.Second)
		}
		if first.Outstanding() != 1 {
			t.Error("what was under way was cut off")
		}
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
		s.Renew("default", "other", 1)
	})
}

// TestConn_isHeardAfterItWasRenewed has the storage stop just before its connection
// is made anew: who waits over the old one learns of it.
func TestConn_isHeardAfterItWasRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, _ *fakeStorage, n *network, s *Set) {
		c := conn(t, s)
		stream := watch(t, t.Context(), c)
		audible, done := c.WhileAudible(t.Context(), noAnswer)
		defer done()
		time.Sleep(5 * time.Second)
		n.stop()
		s.Renew("default", "gitaly-1", c.Generation())
		select {
		case <-audible.Done():
		case <-time.After(3 * time.Second):
			t.Error("silence was not noticed")
		}
		if status.Code(context.Cause(audible)) != codes.Unavailable {
			t.Errorf("cause: %v", context.Cause(audible))
		}
		if c.Outstanding() != 1 {
			t.Error("what was under way was cut off")
		}
		n.goOn()
		if err := stream.CloseSend(); err != nil {
			t.Error(err)
		}
	})
}

func TestDialError_refused(t *testing.T) {
	for _, tc := range []struct {
		name     string
		err      error
		answered bool
		want     bool
	}{
		{name: "refused", err: syscall.ECONNREFUSED, want: true},
		{name: "reset", err: fmt.Errorf("connection ended: %w", syscall.ECONNRESET), want: true},
		{name: "socket file gone", err: &net.OpError{Op: "dial", Net: "unix", Err: syscall.ENOENT}, want: true},
		{name: "reset after it spoke", err: syscall.ECONNRESET, answered: true},
		{name: "no route", err: syscall.EHOSTUNREACH},
		{name: "closed", err: io.EOF},
		{name: "late", err: context.DeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := (&dialError{cause: tc.err, answered: tc.answered}).refused(); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
