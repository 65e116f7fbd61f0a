package stream

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What a client gets before the caller agreed to the end, and what after it.
func TestForwarder_holdsTheEndBack(t *testing.T) {
	broken := status.Error(codes.Unavailable, "connection lost")
	refused := status.Error(codes.Aborted, "not accounted for")
	for _, tc := range []struct {
		desc      string
		method    string
		responses int
		end       error
		ended     bool
		agree     error
		want      []string
		code      codes.Code
	}{
		{"unary", unary, 1, nil, true, nil, []string{"agree", "header", "message", "trailer"}, codes.OK},
		{"unary, refused", unary, 1, nil, true, refused, []string{"agree"}, codes.Aborted},
		{"unary error", unary, 0, status.Error(codes.NotFound, "gone"), true, nil, []string{"agree", "header", "trailer"}, codes.NotFound},
		{"unary error, refused", unary, 0, status.Error(codes.NotFound, "gone"), true, refused, []string{"agree"}, codes.Aborted},
		{"unary, lost after the response", unary, 1, broken, false, nil, []string{"agree"}, codes.Unavailable},
		{"unary, error after the response", unary, 1, broken, true, nil, []string{"agree", "header", "message", "trailer"}, codes.Unavailable},
		{"client stream", clientStream, 1, nil, true, nil, []string{"header", "agree", "message", "trailer"}, codes.OK},
		{"client stream, refused", clientStream, 1, nil, true, refused, []string{"header", "agree"}, codes.Aborted},
		{"server stream", serverStream, 2, nil, true, nil, []string{"header", "message", "message", "agree", "trailer"}, codes.OK},
		{"server stream, refused", serverStream, 2, nil, true, refused, []string{"header", "message", "message", "agree"}, codes.Aborted},
		{"server stream, lost", serverStream, 1, broken, false, nil, []string{"header", "message", "agree"}, codes.Unavailable},
		{"both", bidi, 1, nil, true, refused, []string{"header", "message", "agree"}, codes.Aborted},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			client := &fakeClient{ctx: t.Context()}
			storage := &fakeStorage{header: metadata.Pairs("h", "1"), responses: messages(tc.responses), end: tc.end}
			call := shape(tc.method)
			var agreedTo Outcome
			call.BeforeStatus = func(out Outcome) error {
				client.event("agree")
				agreedTo = out
				return tc.agree
			}

			var f Forwarder
			got := f.Forward(client, call, fakeBranch(t, storage, tc.ended))
			f.Wait(0)
			if !slices.Equal(client.events, tc.want) {
				t.Errorf("the client saw %q, want %q", client.events, tc.want)
			}
			if status.Code(got.Err) != tc.code || got.Ended != tc.ended || !got.Sent {
				t.Errorf("ended %t with %v, sent %t; want %t with %s, true", got.Ended, got.Err, got.Sent, tc.ended, tc.code)
			}
			if agreedTo.Ended != tc.ended || (agreedTo.Trailer != nil) != tc.ended {
				t.Errorf("agreed to %+v", agreedTo)
			}
			if want := slices.Contains(tc.want, "header") || slices.Contains(tc.want, "message"); got.Responded != want {
				t.Errorf("responded %t, want %t", got.Responded, want)
			}
		})
	}
}

// A client that cannot be written to was cancelled, however that shows, and the storage is told.
func TestForwarder_clientUnreachable(t *testing.T) {
	gone := status.Error(codes.Unavailable, "transport is closing")
	for _, tc := range []struct {
		desc    string
		method  string
		client  fakeClient
		storage fakeStorage
		ended   bool
		code    codes.Code
	}{
		{"header", serverStream, fakeClient{headerErr: gone}, fakeStorage{header: metadata.Pairs("h", "1")}, false, codes.Canceled},
		{"message", serverStream, fakeClient{sendErr: gone}, fakeStorage{responses: messages(1)}, false, codes.Canceled},
		{"message, deadline passed", serverStream,
			fakeClient{sendErr: context.DeadlineExceeded}, fakeStorage{responses: messages(1)}, false, codes.DeadlineExceeded},
		{"message too large for it", serverStream,
			fakeClient{sendErr: status.Error(codes.ResourceExhausted, "too large")}, fakeStorage{responses: messages(1)}, false, codes.ResourceExhausted},
		{"kept header", unary, fakeClient{headerErr: gone}, fakeStorage{header: metadata.Pairs("h", "1"), responses: messages(1)}, true, codes.Canceled},
		{"kept response", unary, fakeClient{sendErr: gone}, fakeStorage{responses: messages(1)}, true, codes.Canceled},
		{"request", bidi, fakeClient{requestsEnd: gone}, fakeStorage{untilCancelled: true}, false, codes.Canceled},
		{"request that gRPC refuses", bidi,
			fakeClient{requestsEnd: status.Error(codes.ResourceExhausted, "too large")}, fakeStorage{untilCancelled: true}, false, codes.ResourceExhausted},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			client, storage := &tc.client, &tc.storage
			client.ctx = t.Context()
			branch := fakeBranch(t, storage, tc.ended)
			var f Forwarder
			got := f.Forward(client, shape(tc.method), branch)
			f.Wait(0)
			if status.Code(got.Err) != tc.code || status.Code(got.ClientErr) != tc.code || got.Ended != tc.ended {
				t.Errorf("ended %t with %v, client's error %v; want %t with %s", got.Ended, got.Err, got.ClientErr, tc.ended, tc.code)
			}
			if branch.ctx.Err() == nil {
				t.Error("the branch was not given up")
			}
		})
	}
}

func TestForwarder_secondResponseIsNoResponse(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		client := &fakeClient{ctx: t.Context()}
		branch := fakeBranch(t, &fakeStorage{responses: messages(2)}, arrived)
		var f Forwarder
		got := f.Forward(client, shape(unary), branch)
		if status.Code(got.Err) != codes.Internal || got.Ended || got.ClientErr != nil || len(client.events) != 0 {
			t.Errorf("got %+v, the client saw %q", got, client.events)
		}
		if branch.ctx.Err() == nil {
			t.Error("the branch was not given up")
		}
	}
}

// A client that has more to say does not hold the storage's answer up.
func TestForwarder_waitsForItsPump(t *testing.T) {
	hold := make(chan struct{})
	client := &fakeClient{ctx: t.Context(), hold: hold}
	var f Forwarder
	got := f.Forward(client, shape(bidi), fakeBranch(t, &fakeStorage{}, true))
	if got.Err != nil || !got.Ended {
		t.Errorf("ended %t with %v", got.Ended, got.Err)
	}
	waited := make(chan struct{})
	go func() {
		defer close(waited)
		f.Wait(0)
	}()
	select {
	case <-waited:
		t.Error("Wait returned with a goroutine left")
	default:
	}
	close(hold) // as gRPC does when the handler returns
	<-waited
}

// A branch that is given up for a reason ends with that reason, unless the storage's own status came first.
func TestBranch_cancelledForAReason(t *testing.T) {
	storage := new(shapes)
	grpcServer := grpc.NewServer()
	grpcServer.RegisterService(storage.desc(), nil)
	conn := dial(t, listen(t, grpcServer), grpc.WithStatsHandler(StatsHandler{}))
	storage.behave(func(ss grpc.ServerStream) error {
		(&serverSide{tb: t, stream: ss}).awaitCancel()
		return nil
	})
	fenced := status.Error(codes.Aborted, "primary was fenced")
	for _, tc := range []struct {
		desc  string
		cause error
		code  codes.Code
	}{
		{"status", fenced, codes.Aborted},
		{"wrapped status", errors.Join(errors.New("fence"), fenced), codes.Aborted},
		{"no reason", nil, codes.Canceled},
		{"reason without a status", errors.New("because"), codes.Canceled},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			call := shape(serverStream)
			branch, err := Open(t.Context(), conn, call, new(Frame))
			if err != nil {
				t.Fatal(err)
			}
			branch.Cancel(tc.cause)
			branch.Cancel(errors.New("a later reason does not count"))
			var f Forwarder
			got := f.Forward(&fakeClient{ctx: t.Context()}, call, branch)
			if got.Ended || status.Code(got.Err) != tc.code || got.ClientErr != nil {
				t.Errorf("ended %t with %v, client's error %v; want %s", got.Ended, got.Err, got.ClientErr, tc.code)
			}
		})
	}
	t.Run("before it is open", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(fenced)
		if _, err := Open(ctx, conn, shape(unary), new(Frame)); status.Code(err) != codes.Aborted {
			t.Errorf("got %v", err)
		}
	})
	t.Run("after the end", func(t *testing.T) {
		branch := fakeBranch(t, &fakeStorage{end: status.Error(codes.NotFound, "gone")}, true)
		branch.Cancel(fenced)
		var f Forwarder
		if got := f.Forward(&fakeClient{ctx: t.Context()}, shape(serverStream), branch); !got.Ended || status.Code(got.Err) != codes.NotFound {
			t.Errorf("ended %t with %v", got.Ended, got.Err)
		}
	})
}

func TestOpen_nobodyThere(t *testing.T) {
	addr := startRawStorage(t, func(c *rawCall) { t.Error("reached") })
	conn := dial(t, addr)
	conn.Close()
	if _, err := Open(t.Context(), conn, shape(unary), new(Frame)); status.Code(err) != codes.Canceled {
		t.Errorf("closed connection: %v", err)
	}
	conn = dial(t, "127.0.0.1:1")
	if _, err := Open(t.Context(), conn, shape(unary), nil); status.Code(err) != codes.Unavailable {
		t.Errorf("nothing listens: %v", err)
	}
}

func TestPeek_readsNoMoreThanItMust(t *testing.T) {
	lost := status.Error(codes.Unavailable, "transport is closing")
	for _, tc := range []struct {
		desc   string
		method string
		client fakeClient
		code   codes.Code
		left   int
	}{
		{"one request", unary, fakeClient{requests: messages(1)}, codes.OK, 0},
		{"two requests where one is due", unary, fakeClient{requests: messages(2)}, codes.Internal, 0},
		{"none where one is due", serverStream, fakeClient{}, codes.Internal, 0},
		{"client lost before the first", unary, fakeClient{requestsEnd: lost}, codes.Canceled, 0},
		{"client lost after the first", unary, fakeClient{requests: messages(1), requestsEnd: lost}, codes.Canceled, 0},
		{"stream", clientStream, fakeClient{requests: messages(3)}, codes.OK, 2},
		{"stream, lost", bidi, fakeClient{requestsEnd: lost}, codes.Canceled, 0},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			first, err := Peek(&tc.client, shape(tc.method))
			if status.Code(err) != tc.code || (first != nil) != (err == nil) {
				t.Errorf("got %v, %v, want %s", first, err, tc.code)
			}
			if got := len(tc.client.requests); got != tc.left {
				t.Errorf("%d requests left, want %d", got, tc.left)
			}
		})
	}
	if first, err := Peek(&fakeClient{}, shape(bidi)); first != nil || err != io.EOF {
		t.Errorf("empty stream: %v, %v, want io.EOF", first, err)
	}
}
