package frames

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// each runs a test with writes that are tried on the socket, and with a goroutine for all writes, as for TLS.
func each(t *testing.T, test func(t *testing.T, direct bool)) {
	for _, direct := range []bool{true, false} {
		t.Run(fmt.Sprintf("direct=%v", direct), func(t *testing.T) { test(t, direct) })
	}
}

// TestFront_divertedLooksLikePassed compares the answers of the same calls, which differ only in the names of the servers.
func TestFront_divertedLooksLikePassed(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		conn := x.client()
		for _, row := range []struct {
			method  string
			request []byte
			ctx     func() (context.Context, context.CancelFunc)
		}{
			{method: "Echo", request: []byte("a message")},
			{method: "Echo", request: nil},
			{method: "Echo", request: bytes.Repeat([]byte{7}, 60_000)},
			{method: "Echo", request: bytes.Repeat([]byte{7}, 70_000)}, // too large to be diverted
			{method: "Refuse", request: []byte("x")},
			{method: "RefuseAtLength", request: []byte("x")},
			{method: "Order", request: order{0, 0, codes.OK}.bytes()},
			{method: "Order", request: order{3, 0, codes.OK}.bytes()},
			{method: "Order", request: order{100, 17, codes.OK}.bytes()},
			{method: "Order", request: order{30, 200_000, codes.Aborted}.bytes()},
			{method: "Deadline", request: []byte("x"), ctx: func() (context.Context, context.CancelFunc) {
				return context.WithTimeout(t.Context(), time.Minute)
			}},
		} {
			t.Run(row.method, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				if row.ctx != nil {
					ctx, cancel = row.ctx()
				}
				defer cancel()
				ctx = metadata.AppendToOutgoingContext(ctx, "echo", "one", "echo", "two")
				read := ask(ctx, conn, "/read/"+row.method, row.request)
				write := ask(ctx, conn, "/write/"+row.method, row.request)
				if want := "storage"; read.by() != want && len(row.request) < maxFirst {
					t.Errorf("a read was answered by %q", read.by())
				}
				if write.by() != "grpc" {
					t.Errorf("a write was answered by %q", write.by())
				}
				read.header.Delete("served-by")
				write.header.Delete("served-by")
				read.trailer.Delete("ended-by")
				write.trailer.Delete("ended-by")
				if got, want := fmt.Sprint(read.header, read.trailer, read.err), fmt.Sprint(write.header, write.trailer, write.err); got != want {
					t.Errorf("diverted: %s\npassed:   %s", got, want)
				}
				if !slices.EqualFunc(read.messages, write.messages, bytes.Equal) {
					t.Errorf("diverted: %d messages, passed: %d", len(read.messages), len(write.messages))
				}
			})
		}
	})
}

// TestFront_result says what the policy learns of a call.
func TestFront_result(t *testing.T) {
	x := newFixture(t, nil)
	conn := x.client()
	before := time.Now()
	request := order{5, 40_000, codes.Aborted}.bytes()
	if a := ask(t.Context(), conn, "/read/Order", request); status.Code(a.err) != codes.Aborted {
		t.Fatal(a.err)
	}
	r := x.policy.last()
	if r.Code != codes.Aborted || r.Message != "as ordered" || !r.FromStorage || r.ClientGone {
		t.Errorf("got %v %q, from the storage %v", r.Code, r.Message, r.FromStorage)
	}
	if r.RequestBytes != int64(len(request)) || r.ResponseBytes != 200_000 || r.Responses != 5 {
		t.Errorf("got %d bytes of the request, %d of %d messages", r.RequestBytes, r.ResponseBytes, r.Responses)
	}
	if r.Began.Before(before) || r.Sent.Before(r.Began) || r.Answered.Before(r.Sent) {
		t.Errorf("got the times %v, %v, %v", r.Began, r.Sent, r.Answered)
	}
	if Value(r.Header, "served-by") != "storage" || Value(r.Trailer, "ended-by") != "storage" {
		t.Errorf("got %v and %v", r.Header, r.Trailer)
	}
}

// TestFront_manyAtOnce runs downloads, small reads and calls of gRPC's server side by side on few connections.
func TestFront_manyAtOnce(t *testing.T) {
	each(t, func(t *testing.T, direct bool) {
		x := newFixture(t, func(s *setup) { s.direct = direct })
		var wg sync.WaitGroup
		for range 2 {
			conn := x.client()
			for i := range 24 {
				wg.Go(func() {
					for j := range 8 {
						switch (i + j) % 4 {
						case 0:
							o := order{5, 100_000, codes.OK}
							service := []string{"/read/", "/write/"}[i%2]
							a := ask(t.Context(), conn, service+"Order", o.bytes())
							if a.err != nil || len(a.messages) != o.messages {
								t.Errorf("a download: %v, %d messages", a.err, len(a.messages))
							}
							for k, m := range a.messages {
								if !bytes.Equal(m, o.message(k)) {
									t.Errorf("message %d of a download is not what was sent", k)
								}
							}
						case 1:
							if err := chat(t.Context(), conn, 50); err != nil {
								t.Error(err)
							}
						default:
							m := fmt.Appendf(nil, "%d %d", i, j)
							if a := ask(t.Context(), conn, "/read/Echo", m); a.err != nil || !bytes.Equal(a.messages[0], m) {
								t.Errorf("got %q, %v", a.messages, a.err)
							}
						}
					}
				})
			}
		}
		wg.Wait()
		// Reads are passed while too much waits for the client.
		if there, here := x.storage.count("Echo"), x.proxy.count("Echo"); there <= here {
			t.Errorf("the storage had %d reads, gRPC's server %d", there, here)
		}
		for _, f := range x.fronts {
			if n := f.Outstanding(); n != 0 {
				t.Errorf("%d calls are left", n)
			}
		}
		eventually(t, "the storage has no calls", func() bool { return x.backend.Outstanding() == 0 })
	})
}

// chat makes a call that streams both ways.
func chat(ctx context.Context, conn *grpc.ClientConn, n int) error {
	cs, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/write/Bidi")
	if err != nil {
		return err
	}
	for i := range n {
		m := bytes.Repeat([]byte{byte(i)}, 1+i*1000)
		var got []byte
		if err := errors.Join(cs.SendMsg(&m), cs.RecvMsg(&got)); err != nil {
			return err
		}
		if !bytes.Equal(m, got) {
			return fmt.Errorf("message %d came back as another", i)
		}
	}
	return cs.CloseSend()
}

// TestFront_notPlainIsPassed has calls of the read service that are not diverted.
func TestFront_notPlainIsPassed(t *testing.T) {
	x := newFixture(t, nil)
	conn := x.client()
	cs, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/read/Bidi")
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	for i := range 3 { // the first message is passed once the second one comes, or after a second
		m := []byte{byte(i)}
		if err := cs.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if err := cs.RecvMsg(&got); err != nil {
			t.Fatal(err)
		}
	}
	if err := cs.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := cs.RecvMsg(&got); err == nil || x.proxy.count("Bidi") != 1 || x.storage.count("Bidi") != 0 {
		t.Errorf("got %v; gRPC's server had %d calls", err, x.proxy.count("Bidi"))
	}
	x.policy.set(nil, nil)
	if a := ask(t.Context(), conn, "/read/Echo", []byte("x")); a.err != nil || a.by() != "grpc" {
		t.Errorf("got %v by %q", a.err, a.by())
	}
}

// TestFront_heldTooLong passes a call whose message does not come.
func TestFront_heldTooLong(t *testing.T) {
	x := newFixture(t, func(s *setup) { s.cfg.Hold = 50 * time.Millisecond })
	conn := x.client()
	cs, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/read/Bidi")
	if err != nil {
		t.Fatal(err)
	}
	if header, err := cs.Header(); err != nil || header.Get("served-by")[0] != "grpc" {
		t.Fatalf("got %v, %v", header, err)
	}
	m := []byte("x")
	var got []byte
	if err := errors.Join(cs.SendMsg(&m), cs.RecvMsg(&got), cs.CloseSend()); err != nil || string(got) != "x" {
		t.Errorf("got %q, %v", got, err)
	}
	for cs.RecvMsg(&got) == nil {
	}
}
