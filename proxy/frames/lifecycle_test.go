package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// waiting starts calls that wait at a site, and returns what they get.
func (x *fixture) waiting(conn *grpc.ClientConn, method string, n int, at *site) <-chan answer {
	x.t.Helper()
	answers := make(chan answer, n)
	for range n {
		go func() { answers <- ask(x.t.Context(), conn, method, []byte("x")) }()
	}
	for range n {
		select {
		case <-at.entered:
		case <-time.After(patience):
			x.t.Fatal("a call does not begin")
		}
	}
	return answers
}

func receive(t testing.TB, answers <-chan answer) answer {
	t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(patience):
		t.Fatal("a call does not end")
		return answer{}
	}
}

// TestFront_storageLostBeforeAnAnswer passes the calls to gRPC's server.
func TestFront_storageLostBeforeAnAnswer(t *testing.T) {
	for name, lose := range map[string]func(x *fixture){
		"closed": func(x *fixture) { x.backend.Close(errors.New("the storage is lost")) },
		"killed": func(x *fixture) { x.storageServer.Stop() },
		"away": func(x *fixture) {
			go x.storageServer.GracefulStop()
			<-x.backend.Done()
			x.storageServer.Stop()
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t, nil)
			conn := x.client()
			close(x.proxy.release)
			answers := x.waiting(conn, "/read/Wait", 5, x.storage)
			lose(x)
			for range 5 {
				if a := receive(t, answers); a.err != nil || a.by() != "grpc" {
					t.Errorf("got %v by %q", a.err, a.by())
				}
			}
			if a := ask(t.Context(), conn, "/read/Echo", nil); a.err != nil || a.by() != "grpc" {
				t.Errorf("afterwards: got %v by %q", a.err, a.by())
			}
			if ended, passed, _ := x.policy.counts(); ended != 0 || passed != 6 {
				t.Errorf("%d calls have ended, %d were passed", ended, passed)
			}
			if x.backend.Err() == nil || x.backend.Outstanding() != 0 {
				t.Errorf("the backend has %v, %d calls", x.backend.Err(), x.backend.Outstanding())
			}
		})
	}
}

// TestFront_storageLostAfterAnAnswer ends the calls.
func TestFront_storageLostAfterAnAnswer(t *testing.T) {
	x := newFixture(t, nil)
	conn := x.client()
	cs, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, "/read/Half")
	if err != nil {
		t.Fatal(err)
	}
	m := []byte("hello")
	if err := errors.Join(cs.SendMsg(&m), cs.CloseSend(), cs.RecvMsg(&m)); err != nil {
		t.Fatal(err)
	}
	x.backend.Close(errors.New("the storage is lost: 100 %"))
	err = cs.RecvMsg(&m)
	if status.Code(err) != codes.Unavailable || status.Convert(err).Message() != "the storage is lost: 100 %" {
		t.Errorf("got %v", err)
	}
	if r := x.policy.last(); r.Code != codes.Unavailable || r.FromStorage || r.Responses != 1 {
		t.Errorf("got %+v", r)
	}
}

// TestFront_storageGoesAway lets calls end that the storage still works on.
func TestFront_storageGoesAway(t *testing.T) {
	x := newFixture(t, nil)
	conn := x.client()
	answers := x.waiting(conn, "/read/Wait", 3, x.storage)
	stopped := make(chan struct{})
	go func() {
		x.storageServer.GracefulStop()
		close(stopped)
	}()
	<-x.backend.Done()
	if a := ask(t.Context(), conn, "/read/Echo", nil); a.err != nil || a.by() != "grpc" {
		t.Errorf("a new call: got %v by %q", a.err, a.by())
	}
	close(x.storage.release)
	for range 3 {
		if a := receive(t, answers); a.err != nil || a.by() != "storage" {
			t.Errorf("got %v by %q", a.err, a.by())
		}
	}
	<-stopped
	eventually(t, "the connection is closed", func() bool { return x.backend.out.reason() != nil })
}

// TestFront_deadline ends a call whose storage does not know its deadline.
func TestFront_deadline(t *testing.T) {
	x := newFixture(t, nil)
	x.policy.set(x.backend, func(d *Diversion) { d.Deadline = time.Now().Add(100 * time.Millisecond) })
	conn := x.client()
	began := time.Now()
	for _, method := range []string{"Wait", "Half"} {
		a := ask(t.Context(), conn, "/read/"+method, nil)
		if status.Code(a.err) != codes.DeadlineExceeded || status.Convert(a.err).Message() != "context deadline exceeded" {
			t.Errorf("%s: got %v after %v", method, a.err, time.Since(began))
		}
	}
	eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
	if a := ask(t.Context(), conn, "/write/Echo", nil); a.err != nil {
		t.Error(a.err)
	}
}

// TestFront_clientCancels cancels at the storage.
func TestFront_clientCancels(t *testing.T) {
	x := newFixture(t, nil)
	conn := x.client()
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan answer, 1)
	go func() { answers <- ask(ctx, conn, "/read/Wait", nil) }()
	<-x.storage.entered
	cancel()
	if a := receive(t, answers); status.Code(a.err) != codes.Canceled {
		t.Errorf("got %v", a.err)
	}
	eventually(t, "the call has ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 1 })
	if r := x.policy.last(); !r.ClientGone || r.Code != codes.Canceled {
		t.Errorf("got %+v", r)
	}
	go func() { answers <- ask(t.Context(), conn, "/read/Wait", nil) }()
	<-x.storage.entered
	_ = conn.Close() // hangs up
	eventually(t, "the call has ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 2 })
	eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
}

// TestFront_gracefulStop lets diverted calls end, and passed ones.
func TestFront_gracefulStop(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		conn := x.client()
		reads := x.waiting(conn, "/read/Wait", 3, x.storage)
		writes := x.waiting(conn, "/write/Wait", 2, x.proxy)
		stopped := make(chan struct{})
		go func() {
			x.server.GracefulStop()
			close(stopped)
		}()
		eventually(t, "gRPC's server goes away", func() bool {
			f := x.front()
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.away
		})
		close(x.proxy.release)
		for range 2 {
			if a := receive(t, writes); a.err != nil {
				t.Errorf("a write: %v", a.err)
			}
		}
		eventually(t, "gRPC's server has closed", func() bool { return x.front().gracefully() })
		close(x.storage.release)
		for range 3 {
			if a := receive(t, reads); a.err != nil || a.by() != "storage" {
				t.Errorf("a read: got %v by %q", a.err, a.by())
			}
		}
		select {
		case <-stopped:
		case <-time.After(patience):
			t.Error("GracefulStop does not return")
		}
	})
}

// TestFront_stop ends diverted calls at once, also after a graceful stop has begun.
func TestFront_stop(t *testing.T) {
	for _, graceful := range []bool{false, true} {
		x := newFixture(t, func(s *setup) { s.cfg.Drain = time.Hour })
		conn := x.client()
		reads := x.waiting(conn, "/read/Wait", 3, x.storage)
		if graceful {
			go x.server.GracefulStop()
			eventually(t, "gRPC's server has closed", func() bool { return x.front().gracefully() })
		}
		x.server.Stop()
		for range 3 {
			if a := receive(t, reads); status.Code(a.err) != codes.Unavailable {
				t.Errorf("got %v", a.err)
			}
		}
		eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
	}
}

// TestFront_drainIsBounded closes a connection whose diverted calls do not end.
func TestFront_drainIsBounded(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.cfg.Drain = 10 * time.Millisecond })
	reads := x.waiting(x.client(), "/read/Wait", 1, x.storage)
	x.server.GracefulStop()
	if a := receive(t, reads); status.Code(a.err) != codes.Unavailable {
		t.Errorf("got %v", a.err)
	}
}

// TestFront_stalledClient resets a call of which the client takes nothing, and no other.
func TestFront_stalledClient(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct, s.cfg.SendStall = direct, 2*time.Second })
		c := x.rawClient()
		id := c.call("/read/Order", order{100, 100_000, codes.OK}.bytes()) // takes a window, and opens none
		got := c.read(nil, all(id))[id]
		if got.code != http2.ErrCodeCancel || len(got.data) > defaultWindow {
			t.Errorf("got %v, %d bytes", got.code, len(got.data))
		}
		if r := x.policy.last(); r.Code != codes.Canceled || r.ClientGone {
			t.Errorf("got %+v", r)
		}
		slow := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: maxWindow})
		slow.must(slow.framer.WriteWindowUpdate(0, maxWindow-defaultWindow)) // all the window, and it reads nothing
		slow.call("/read/Order", order{1000, 100_000, codes.OK}.bytes())
		conn := x.client()
		for range 20 {
			if a := ask(t.Context(), conn, "/read/Order", order{3, 300_000, codes.OK}.bytes()); a.err != nil {
				t.Error(a.err)
			}
		}
		eventually(t, "the call is reset", func() bool { ended, _, _ := x.policy.counts(); return ended == 22 })
		eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
	})
}

// TestFront_storageIsFull passes calls beyond what the storage takes at a time.
func TestFront_storageIsFull(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.storage = []grpc.ServerOption{grpc.MaxConcurrentStreams(2)} })
	conn := x.client()
	answers := x.waiting(conn, "/read/Wait", 2, x.storage)
	if a := ask(t.Context(), conn, "/read/Echo", nil); a.err != nil || a.by() != "grpc" {
		t.Errorf("got %v by %q", a.err, a.by())
	}
	close(x.storage.release)
	for range 2 {
		if a := receive(t, answers); a.err != nil {
			t.Error(a.err)
		}
	}
}

// TestFront_oneBoundForAllCalls refuses calls beyond what gRPC's server has told the client, however many of them are diverted.
func TestFront_oneBoundForAllCalls(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.server = append(s.server, grpc.MaxConcurrentStreams(3)) })
	c := x.rawClient()
	reads := []uint32{c.call("/read/Wait", nil), c.call("/read/Wait", nil)}
	write := c.call("/write/Wait", nil)
	for _, method := range []string{"/read/Echo", "/write/Echo"} {
		id := c.call(method, nil)
		if got := c.read(nil, all(id))[id]; got.code != http2.ErrCodeRefusedStream {
			t.Errorf("%s: got %+v", method, got)
		}
	}
	close(x.proxy.release)
	c.read(nil, all(write))
	for _, method := range []string{"/read/Echo", "/write/Echo"} {
		id := c.call(method, nil)
		if got := c.read(nil, all(id))[id]; Value(got.trailer, "grpc-status") != "0" {
			t.Errorf("%s: got %+v", method, got)
		}
	}
	close(x.storage.release)
	c.read(nil, all(reads...))
}

// TestFront_serverWithoutLimits ends a connection whose gRPC's server does not tell what it takes.
func TestFront_serverWithoutLimits(t *testing.T) {
	f := NewFront(newSink(), &testPolicy{}, Config{})
	if _, err := f.Write(appendHead(nil, 0, http2.FrameSettings, 0, 0)); !errors.Is(err, errNoLimits) {
		t.Errorf("got %v", err)
	}
}

// TestFront_changesHeaders has the policy change the headers of answers.
func TestFront_changesHeaders(t *testing.T) {
	x := newFixture(t, nil)
	x.policy.set(x.backend, func(d *Diversion) {
		d.Headers = func(fields []hpack.HeaderField) []hpack.HeaderField {
			return append(fields, hpack.HeaderField{Name: "added", Value: "yes"})
		}
	})
	if a := ask(t.Context(), x.client(), "/read/Echo", nil); strings.Join(a.header.Get("added"), ",") != "yes" {
		t.Errorf("got %v", a.header)
	}
}

func TestBackend_call(t *testing.T) {
	x := newFixture(t, nil)
	fields := func(method string) []hpack.HeaderField {
		return []hpack.HeaderField{
			{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "http"}, {Name: ":path", Value: "/any/" + method},
			{Name: ":authority", Value: "here"}, {Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"},
		}
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			m := bytes.Repeat([]byte{byte(i)}, i*500)
			reply, st, err := x.backend.Call(t.Context(), fields("Echo"), m)
			if err != nil || st.Code() != codes.OK || !bytes.Equal(reply, m) {
				t.Errorf("got %d bytes, %v, %v", len(reply), st, err)
			}
		})
	}
	wg.Wait()
	if _, st, err := x.backend.Call(t.Context(), fields("Refuse"), nil); err != nil || st.Code() != codes.NotFound || st.Message() != "no such thing: ü %" {
		t.Errorf("got %v, %v", st, err)
	}
	if _, _, err := x.backend.Call(t.Context(), fields("Order"), order{2, 10, codes.OK}.bytes()); err == nil {
		t.Error("two messages are an answer")
	}
	if _, _, err := x.backend.Call(t.Context(), fields("Order"), order{1, 2 << 20, codes.OK}.bytes()); err == nil {
		t.Error("2 MiB are an answer")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, st, err := x.backend.Call(ctx, fields("Wait"), nil); err == nil && st.Code() != codes.DeadlineExceeded {
		t.Errorf("a call that waits has ended with %v", st) // the storage may be the first to notice the deadline
	}
	x.backend.Close(fmt.Errorf("gone"))
	if _, _, err := x.backend.Call(t.Context(), fields("Echo"), nil); err == nil || err.Error() != "gone" {
		t.Errorf("got %v", err)
	}
}

// TestBackend_silentStorage loses a storage that answers no ping, and one that sends no settings.
func TestBackend_silentStorage(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	dial := func(cfg BackendConfig) (*Backend, net.Conn, error) {
		conn, err := net.Dial("tcp", lis.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		far, err := lis.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = far.Close() })
		if cfg.Handshake == 0 {
			if err := http2.NewFramer(far, far).WriteSettings(); err != nil {
				t.Fatal(err)
			}
		}
		b, err := NewBackend(conn, cfg)
		return b, far, err
	}
	if _, _, err := dial(BackendConfig{Handshake: 20 * time.Millisecond}); err == nil {
		t.Error("a storage without settings is taken")
	}
	b, _, err := dial(BackendConfig{Keepalive: 20 * time.Millisecond, KeepaliveTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	if !errors.Is(b.Err(), errSilent) {
		t.Errorf("got %v", b.Err())
	}
	eventually(t, "the reader has ended", func() bool { return b.out.reason() != nil })
}

// TestBackend_answersPings stays with a storage that answers.
func TestBackend_answersPings(t *testing.T) {
	x := newFixture(t, func(s *setup) {
		s.backend = BackendConfig{Keepalive: 5 * time.Millisecond, KeepaliveTimeout: patience}
		s.storage = []grpc.ServerOption{}
	})
	first := x.backend.lastRead.Load()
	eventually(t, "a ping is answered", func() bool { return x.backend.lastRead.Load() > first })
}

// TestFront_clientReadsNothing bounds the answers that are kept for a client that calls and calls and reads nothing.
func TestFront_clientReadsNothing(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.most = few })
	c := x.rawClient()
	c.must(c.conn.(*net.TCPConn).SetReadBuffer(few))
	wrote := make(chan error, 1)
	go func() {
		for {
			block := c.headers("/read/RefuseAtLength", "echo", strings.Repeat("long", 1000))
			param := http2.HeadersFrameParam{StreamID: c.next, BlockFragment: block, EndHeaders: true}
			if err := errors.Join(c.framer.WriteHeaders(param), c.framer.WriteData(c.next, true, message(nil))); err != nil {
				wrote <- err
				return
			}
			c.next += 2
		}
	}()
	eventually(t, "the client is not read any more", func() bool { return x.front().out.control() > few })
	if n := x.front().out.length(); n > 100*few {
		t.Errorf("%d bytes are kept", n)
	}
	_ = c.conn.Close()
	<-wrote
}
