package stream

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// three are storages with a proxy in front of them, the first of them the primary.
type three struct {
	storages [3]*shapes
	servers  [3]*grpc.Server
	conns    [3]*grpc.ClientConn // the proxy's
	proxy    *proxy
	client   *grpc.ClientConn
	direct   *grpc.ClientConn // to the primary
}

func startThree(t *testing.T) *three {
	t.Helper()
	w := new(three)
	var addrs [3]string
	for i := range w.storages {
		w.storages[i] = new(shapes)
		// A window of a fixed size, so that it is known what is enough to fill it.
		w.servers[i] = grpc.NewServer(grpc.StaticStreamWindowSize(64<<10), grpc.StaticConnWindowSize(64<<10))
		w.servers[i].RegisterService(w.storages[i].desc(), nil)
		addrs[i] = listen(t, w.servers[i])
	}
	var addr string
	w.proxy, addr = startProxy(t, addrs[0])
	w.conns[0] = w.proxy.storage.(*grpc.ClientConn)
	for i := 1; i < len(addrs); i++ {
		w.conns[i] = dial(t, addrs[i], grpc.WithStatsHandler(StatsHandler{}))
		w.proxy.others = append(w.proxy.others, w.conns[i])
	}
	w.client, w.direct = dial(t, addr), dial(t, addrs[0])
	return w
}

// echo sends every request back.
func echo(ss grpc.ServerStream) error {
	for {
		msg := new(wrapperspb.BytesValue)
		if err := ss.RecvMsg(msg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := ss.SendMsg(msg); err != nil {
			return err
		}
	}
}

// Each of several storages sees what the only one would see, and the client sees the primary.
func TestForwarder_isTransparentToEveryStorage(t *testing.T) {
	w := startThree(t)
	compare(t, w.direct, w.client, scenarios(), w.storages[:]...)
}

// However a secondary ends, it ends alone.
func TestForwarder_secondaryEndsAlone(t *testing.T) {
	const requests = 40
	request := large[:256<<10]
	idle := func(_ *three, ss grpc.ServerStream) error { <-ss.Context().Done(); return ss.Context().Err() }
	for _, tc := range []struct {
		desc     string
		serve    func(w *three, ss grpc.ServerStream) error
		branches func(w *three, branches []*Branch)
		sent     bool // in any case
		ended    bool
		code     codes.Code
	}{
		{"ends likewise", func(_ *three, ss grpc.ServerStream) error { return echo(ss) }, nil, true, true, codes.OK},
		{"another status", func(_ *three, ss grpc.ServerStream) error {
			if err := echo(ss); err != nil {
				return err
			}
			return status.Error(codes.FailedPrecondition, "unlike the others")
		}, nil, true, true, codes.FailedPrecondition},
		{"early success", func(_ *three, ss grpc.ServerStream) error { return ss.RecvMsg(new(wrapperspb.BytesValue)) }, nil, true, true, codes.OK},
		{"early error", func(_ *three, ss grpc.ServerStream) error {
			return status.Error(codes.PermissionDenied, "not you")
		}, nil, false, true, codes.PermissionDenied},
		{"never reads", idle, nil, true, false, codes.ResourceExhausted},
		{"flood of responses", func(_ *three, ss grpc.ServerStream) error {
			for range 20 {
				if err := ss.SendMsg(wrapperspb.Bytes([]byte(request))); err != nil {
					return err
				}
			}
			return echo(ss)
		}, nil, true, true, codes.OK},
		{"dies", func(w *three, ss grpc.ServerStream) error {
			err := ss.RecvMsg(new(wrapperspb.BytesValue))
			go w.servers[1].Stop()
			<-ss.Context().Done()
			return err
		}, nil, true, false, codes.Unavailable},
		{"connection closed before anything is sent", idle, func(w *three, _ []*Branch) { w.conns[1].Close() }, false, false, codes.Canceled},
		{"given up", idle, func(_ *three, branches []*Branch) { branches[1].Cancel(status.Error(codes.Aborted, "fenced")) }, false, false, codes.Aborted},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			w := startThree(t)
			w.proxy.prepare = func(call *Call) { call.SlowBound = 500 * time.Millisecond }
			if tc.branches != nil {
				w.proxy.opened = func(branches []*Branch) { tc.branches(w, branches) }
			}
			third := make(chan int, 1)
			w.storages[0].behave(echo)
			w.storages[1].behave(func(ss grpc.ServerStream) error { return tc.serve(w, ss) })
			w.storages[2].behave(func(ss grpc.ServerStream) error {
				n := 0
				defer func() { third <- n }()
				for ss.RecvMsg(new(wrapperspb.BytesValue)) == nil {
					n++
				}
				return nil
			})

			c := newClient(t, t.Context(), w.client, bidi)
			go func() {
				for range requests {
					c.send(request)
				}
				c.closeSend()
			}()
			c.drain()
			want := slices.Repeat([]string{fmt.Sprintf("message of %d bytes, %x…%x", len(request), request[:8], request[len(request)-8:])}, requests)
			if want = append(want, "end", "trailer, 0 keys"); !slices.Equal(c.lines, want) {
				t.Errorf("the client saw %d lines, the last of them %q", len(c.lines), c.lines[len(c.lines)-1:])
			}
			if got := <-third; got != requests {
				t.Errorf("the third storage got %d requests", got)
			}
			out := w.proxy.outcome(t)
			if out.Err != nil || !out.Ended {
				t.Errorf("ended %t with %v", out.Ended, out.Err)
			}
			checkBranch(t, "secondary", out.Others[0], tc.ended, tc.code)
			checkBranch(t, "third", out.Others[1], true, codes.OK)
			if tc.sent && !out.Others[0].Sent {
				t.Error("nothing was sent to the secondary")
			}
		})
	}
}

// A primary may answer before the client has finished. The others get what follows, as long as they have grace.
func TestForwarder_primaryAnswersEarly(t *testing.T) {
	w := startThree(t)
	for _, method := range []string{clientStream, bidi} {
		t.Run(method, func(t *testing.T) {
			answered := make(chan struct{})
			w.proxy.prepare = func(call *Call) {
				call.BranchEnded = func(branch int, _ Outcome) {
					if branch == 0 {
						close(answered)
					}
				}
			}
			seen := make(chan []string, len(w.storages))
			w.storages[0].behave(func(ss grpc.ServerStream) error { return ss.RecvMsg(new(wrapperspb.BytesValue)) })
			for _, storage := range w.storages[1:] {
				storage.behave(func(ss grpc.ServerStream) error {
					s := &serverSide{tb: t, stream: ss}
					s.drain()
					seen <- s.lines
					return nil
				})
			}
			c := newClient(t, t.Context(), w.client, method)
			c.send("one")
			<-answered
			c.send("two")
			c.send("three")
			c.closeSend()
			c.drain()
			want := []string{`message "one"`, `message "two"`, `message "three"`, "end"}
			for range w.storages[1:] {
				if got := <-seen; !slices.Equal(got, want) {
					t.Errorf("a secondary saw %q, want %q", got, want)
				}
			}
			out := w.proxy.outcome(t)
			for i, branch := range append(out.Others, out) {
				checkBranch(t, fmt.Sprint(i), branch, true, codes.OK)
			}
		})
	}
}

// When the primary's call is over without its status, or the client's, the secondaries are told at once.
func TestForwarder_secondariesGoWithThePrimary(t *testing.T) {
	for _, tc := range []struct {
		desc string
		end  func(c *client, w *three, primary *Branch)
		code codes.Code
	}{
		{"client cancels", func(c *client, _ *three, _ *Branch) { c.cancel() }, codes.Canceled},
		{"primary dies", func(_ *client, w *three, _ *Branch) { w.servers[0].Stop() }, codes.Unavailable},
		{"primary given up", func(_ *client, _ *three, primary *Branch) { primary.Cancel(status.Error(codes.Aborted, "fenced")) }, codes.Aborted},
	} {
		for _, method := range []string{unary, clientStream, serverStream, bidi} {
			t.Run(tc.desc+method, func(t *testing.T) {
				w := startThree(t)
				met := newGate(len(w.storages))
				var primary *Branch
				w.proxy.opened = func(branches []*Branch) { primary = branches[0] }
				told := make(chan struct{}, len(w.storages))
				for _, storage := range w.storages {
					storage.behave(func(ss grpc.ServerStream) error {
						s := &serverSide{tb: t, stream: ss}
						s.recv()
						met.arrive()
						s.awaitCancel()
						told <- struct{}{}
						return ss.Context().Err()
					})
				}
				c := newClient(t, t.Context(), w.client, method)
				c.send("request")
				if !shape(method).ClientStreams {
					c.closeSend()
				}
				met.wait()
				tc.end(c, w, primary)
				c.drain()
				out := w.proxy.outcome(t)
				checkBranch(t, "primary", out, false, tc.code)
				for i, other := range out.Others {
					checkBranch(t, fmt.Sprintf("secondary %d", i), other, false, tc.code)
				}
				for range w.storages {
					<-told
				}
			})
		}
	}
}

// The client's deadline ends each branch.
func TestForwarder_deadlineOfEveryBranch(t *testing.T) {
	w := startThree(t)
	for _, method := range []string{unary, clientStream, serverStream, bidi} {
		t.Run(method, func(t *testing.T) {
			// A storage whose clock runs out first would say so itself, and the call have ended there.
			looked := make(chan struct{})
			defer close(looked)
			call := func(timeout time.Duration) (reached int) {
				var atStorage atomic.Int32
				for _, storage := range w.storages {
					storage.behave(func(ss grpc.ServerStream) error {
						atStorage.Add(1)
						if _, ok := ss.Context().Deadline(); !ok {
							t.Error("no deadline")
						}
						(&serverSide{tb: t, stream: ss}).awaitCancel()
						<-looked
						return ss.Context().Err()
					})
				}
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				defer cancel()
				stream, err := w.client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
				if err == nil && stream.SendMsg(new(wrapperspb.BytesValue)) == nil {
					err = stream.RecvMsg(new(wrapperspb.BytesValue))
				}
				if ofStatus(err) != codes.DeadlineExceeded {
					t.Errorf("client: %v", err)
				}
				return int(atStorage.Load())
			}
			// On a slow machine the time may be up before the call has got anywhere.
			for timeout := 50 * time.Millisecond; call(timeout) < len(w.storages); timeout *= 2 {
				if timeout > patience {
					t.Fatal("no call reached the storages")
				}
			}
			// The client's own reset may be here before the proxy's clock has run out.
			out := w.proxy.outcome(t)
			for _, branch := range append(out.Others, out) {
				if code := ofStatus(branch.Err); code != codes.DeadlineExceeded && code != codes.Canceled || branch.Ended {
					t.Errorf("got %+v", branch)
				}
			}
		})
	}
}
