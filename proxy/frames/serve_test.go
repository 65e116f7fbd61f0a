package frames

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// answerHere has the policy answer its calls here: serves gets the Answer of each with its request.
func (x *fixture) answerHere(serves func(request []byte, answer Answer)) {
	x.policy.set(x.backend, func(d *Diversion) {
		request := slices.Concat(d.Message...)
		d.Backend, d.Message = nil, nil
		d.Serve = func(answer Answer) { serves(request, answer) }
	})
}

func echo(request []byte, answer Answer) { answer(codes.OK, "", request) }

// TestFront_servedLooksLikePassed compares answers that are made here with those of gRPC's server.
func TestFront_servedLooksLikePassed(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		conn := x.client()
		for _, request := range [][]byte{nil, []byte("a message"), bytes.Repeat([]byte{7}, 60_000)} {
			x.answerHere(echo)
			served, passed := ask(t.Context(), conn, "/read/Echo", request), ask(t.Context(), conn, "/write/Echo", request)
			if len(served.trailer) != 0 || !slices.Equal(served.header.Get("content-type"), passed.header.Get("content-type")) {
				t.Errorf("headers: %v, trailers: %v", served.header, served.trailer)
			}
			if fmt.Sprint(served.messages, served.err) != fmt.Sprint(passed.messages, passed.err) {
				t.Errorf("served %d messages, %v; passed %d, %v", len(served.messages), served.err, len(passed.messages), passed.err)
			}
			if r := x.policy.last(); r.Code != codes.OK || r.FromStorage || r.ResponseBytes != int64(len(request)) || r.Responses != 1 {
				t.Errorf("got %+v", r)
			}
			x.answerHere(func(_ []byte, answer Answer) { answer(codes.NotFound, "no such thing: ü %", nil) })
			served, passed = ask(t.Context(), conn, "/read/Refuse", request), ask(t.Context(), conn, "/write/Refuse", request)
			if served.messages != nil || status.Code(served.err) != codes.NotFound || served.err.Error() != passed.err.Error() {
				t.Errorf("served %v, passed %v", served.err, passed.err)
			}
		}
		if n := x.proxy.count("Echo") + x.storage.count("Echo"); n != 3 {
			t.Errorf("%d calls were not served here", n-3)
		}
	})
}

// TestFront_servedLater answers calls in another order than they came, each once.
func TestFront_servedLater(t *testing.T) {
	x := newFixture(t, nil)
	const calls = 50
	waiting := make(chan func(), calls)
	x.answerHere(func(request []byte, answer Answer) {
		waiting <- func() {
			echo(request, answer)
			answer(codes.Internal, "twice", nil)
		}
	})
	conn := x.client()
	answers := make(chan answer, calls)
	for i := range calls {
		go func() { answers <- ask(t.Context(), conn, "/read/Echo", []byte{byte(i)}) }()
	}
	var all []func()
	for range calls {
		all = append(all, <-waiting)
	}
	slices.Reverse(all)
	for _, one := range all {
		go one()
	}
	seen := make(map[byte]bool)
	for range calls {
		a := receive(t, answers)
		if a.err != nil || len(a.messages) != 1 {
			t.Fatalf("got %+v", a)
		}
		seen[a.messages[0][0]] = true
	}
	if len(seen) != calls || x.front().Outstanding() != 0 {
		t.Errorf("%d answers, %d calls are left", len(seen), x.front().Outstanding())
	}
}

// TestFront_servedUntil ends calls that are answered here at their deadlines, in any order, and hears of clients that have gone.
func TestFront_servedUntil(t *testing.T) {
	x := newFixture(t, nil)
	x.answerHere(func([]byte, Answer) {})
	c := x.rawClient()
	ids := []uint32{
		c.call("/read/Echo", nil, "grpc-timeout", "1H"), c.call("/read/Echo", nil, "grpc-timeout", "200m"), c.call("/read/Echo", nil, "grpc-timeout", "50m"),
	}
	got := c.read(nil, all(ids[1:]...))
	for _, id := range ids[1:] {
		if Value(got[id].trailer, "grpc-status") != "4" || Value(got[id].trailer, "grpc-message") != "context deadline exceeded" || got[id].data != nil {
			t.Errorf("call %d: got %+v", id, got[id])
		}
	}
	c.must(c.framer.WriteRSTStream(ids[0], http2.ErrCodeCancel))
	eventually(t, "all calls have ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 3 })
	if r := x.policy.last(); !r.ClientGone || r.Code != codes.Canceled {
		t.Errorf("got %+v", r)
	}
	ctx, cancel := context.WithCancel(t.Context())
	answers := make(chan answer, 1)
	conn := x.client()
	go func() { answers <- ask(ctx, conn, "/read/Echo", nil) }()
	eventually(t, "the call is served", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.fronts) == 2 && x.fronts[1].Outstanding() == 1
	})
	cancel()
	if a := receive(t, answers); status.Code(a.err) != codes.Canceled {
		t.Errorf("got %v", a.err)
	}
	eventually(t, "the call has ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 4 })
}

// TestFront_servedWaitsForTheWindow sends an answer as far as the client has opened windows, and its end after it.
func TestFront_servedWaitsForTheWindow(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		x.answerHere(echo)
		c := x.rawClient(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 7})
		body := bytes.Repeat([]byte("abc"), 100)
		id := c.call("/read/Echo", body)
		got := c.read(func(f http2.Frame) {
			if data, ok := f.(*http2.DataFrame); ok && data.Length > 0 {
				if data.Length > 7 {
					t.Errorf("%d bytes beyond a window of 7", data.Length)
				}
				c.must(c.framer.WriteWindowUpdate(id, data.Length))
			}
		}, all(id))
		if !bytes.Equal(got[id].data, message(body)) || Value(got[id].trailer, "grpc-status") != "0" {
			t.Errorf("got %+v", got[id])
		}
	})
}

// TestFront_servedWhenTheConnectionEnds: an answer that comes too late does nothing.
func TestFront_servedWhenTheConnectionEnds(t *testing.T) {
	x := newFixture(t, nil)
	waiting := make(chan Answer, 1)
	x.answerHere(func(_ []byte, answer Answer) { waiting <- answer })
	conn := x.client()
	answers := make(chan answer, 1)
	go func() { answers <- ask(t.Context(), conn, "/read/Echo", nil) }()
	late := <-waiting
	x.server.Stop()
	if a := receive(t, answers); status.Code(a.err) != codes.Unavailable {
		t.Errorf("got %v", a.err)
	}
	eventually(t, "the call has ended", func() bool { ended, _, _ := x.policy.counts(); return ended == 1 })
	late(codes.OK, "", nil)
	if r := x.policy.last(); !r.ClientGone || r.Began.After(time.Now()) {
		t.Errorf("got %+v", r)
	}
}

// TestFront_holdsPings: a ping is answered late, and one that comes meanwhile at once.
func TestFront_holdsPings(t *testing.T) {
	for _, tc := range []struct {
		hold  time.Duration
		pings []byte
		first byte // is answered
	}{
		{hold: time.Millisecond, pings: []byte{1}, first: 1},
		{hold: time.Hour, pings: []byte{1, 2}, first: 2},
	} {
		x := newFixture(t, func(s *setup) { s.cfg.PingHold = tc.hold })
		c := x.rawClient()
		c.read(nil, all(c.call("/read/Echo", nil)))
		for _, data := range tc.pings {
			c.must(c.framer.WritePing(false, [8]byte{data}))
		}
		var acked []byte
		c.read(func(f http2.Frame) {
			if p, ok := f.(*http2.PingFrame); ok && p.IsAck() {
				acked = append(acked, p.Data[0])
			}
		}, func(map[uint32]*rawAnswer) bool { return len(acked) == 1 })
		if acked[0] != tc.first {
			t.Errorf("held for %v: ping %d is answered", tc.hold, acked[0])
		}
	}
}
