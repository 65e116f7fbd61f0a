package stream

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ofStatus names the code, OK for the io.EOF that a stream ends with.
func ofStatus(err error) codes.Code {
	if err == io.EOF {
		return codes.OK
	}
	return status.Code(err)
}

// Each row is a way in which a call can end at a storage, or seem to. Ended may be true only where the storage said so.
func TestOutcome_endedOnlyByTheStoragesStatus(t *testing.T) {
	for _, tc := range []struct {
		desc  string
		serve func(*rawCall)
		ended bool
		code  codes.Code
	}{
		{"response and status OK", func(c *rawCall) {
			c.responseHeaders()
			c.message(false)
			c.headers(true, "grpc-status", "0")
		}, true, codes.OK},
		{"status alone", func(c *rawCall) { c.trailersOnly("grpc-status", "5", "grpc-message", "gone") }, true, codes.NotFound},
		{"status OK alone", func(c *rawCall) { c.trailersOnly("grpc-status", "0") }, true, codes.OK},
		{"status Unavailable from the storage", func(c *rawCall) { c.trailersOnly("grpc-status", "14") }, true, codes.Unavailable},
		{"status Canceled from the storage", func(c *rawCall) { c.trailersOnly("grpc-status", "1") }, true, codes.Canceled},
		{"status DeadlineExceeded from the storage", func(c *rawCall) { c.trailersOnly("grpc-status", "4") }, true, codes.DeadlineExceeded},
		{"status Unknown with a message", func(c *rawCall) { c.trailersOnly("grpc-status", "2", "grpc-message", "panic") }, true, codes.Unknown},
		{"error after headers", func(c *rawCall) {
			c.responseHeaders()
			c.headers(true, "grpc-status", "13", "grpc-message", "broken")
		}, true, codes.Internal},
		{"no new calls, then the status", func(c *rawCall) { c.goAway(c.stream); c.trailersOnly("grpc-status", "0") }, true, codes.OK},
		{"refused, then served", func(c *rawCall) {
			if c.number == 1 {
				c.reset(http2.ErrCodeRefusedStream)
				return
			}
			c.trailersOnly("grpc-status", "0")
		}, true, codes.OK},
		{"not processed before going away, then served", func(c *rawCall) {
			if c.number == 1 {
				c.goAway(0)
				return
			}
			c.trailersOnly("grpc-status", "0")
		}, true, codes.OK},

		{"trailers without a status", func(c *rawCall) { c.responseHeaders(); c.headers(true, "other", "x") }, false, codes.Unknown},
		{"status that is no number", func(c *rawCall) { c.responseHeaders(); c.headers(true, "grpc-status", "OK") }, false, codes.Unknown},
		{"headers that end the stream, without a status", func(c *rawCall) { c.trailersOnly() }, false, codes.Unknown},
		{"end of stream without trailers", func(c *rawCall) { c.responseHeaders(); c.message(true) }, false, codes.Internal},
		{"second headers without end", func(c *rawCall) { c.responseHeaders(); c.responseHeaders() }, false, codes.Internal},
		{"another server's page", func(c *rawCall) { c.headers(true, ":status", "503", "content-type", "text/html") }, false, codes.Unavailable},
		{"reset: cancel", func(c *rawCall) { c.reset(http2.ErrCodeCancel) }, false, codes.Canceled},
		{"reset: internal error", func(c *rawCall) { c.reset(http2.ErrCodeInternal) }, false, codes.Internal},
		{"reset after the response", func(c *rawCall) {
			c.responseHeaders()
			c.message(false)
			c.reset(http2.ErrCodeCancel)
		}, false, codes.Canceled},
		{"connection closed", func(c *rawCall) { c.hangUp() }, false, codes.Unavailable},
		{"connection closed after the response", func(c *rawCall) {
			c.responseHeaders()
			c.message(false)
			c.hangUp()
		}, false, codes.Unavailable},
		{"connection reset", func(c *rawCall) { c.abort() }, false, codes.Unavailable},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			p, addr := startProxy(t, startRawStorage(t, tc.serve))
			c := newClient(t, t.Context(), dial(t, addr), unary)
			ask(c)
			got := p.outcome(t)
			if got.Ended != tc.ended || ofStatus(got.Err) != tc.code {
				t.Errorf("ended %t with %v, want %t with %s", got.Ended, got.Err, tc.ended, tc.code)
			}
			if !got.Sent || got.ClientErr != nil {
				t.Errorf("sent %t, client's error %v", got.Sent, got.ClientErr)
			}
			if got.Responded && !got.Ended {
				t.Error("the client has a response without an end")
			}
		})
	}
}

// A retry by gRPC itself leaves the first attempt behind, which may still have an effect unless its status had come.
func TestOutcome_endedCoversEveryAttempt(t *testing.T) {
	retries := grpc.WithDefaultServiceConfig(`{"methodConfig": [{"name": [{}], "retryPolicy": {
		"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
		"retryableStatusCodes": ["UNAVAILABLE"]}}]}`)
	for _, tc := range []struct {
		desc  string
		first func(*rawCall)
		ended bool
	}{
		{"first attempt answered", func(c *rawCall) { c.trailersOnly("grpc-status", "14") }, true},
		{"first attempt lost", func(c *rawCall) { c.hangUp() }, false},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			storage := startRawStorage(t, func(c *rawCall) {
				if c.number == 1 {
					tc.first(c)
					return
				}
				c.trailersOnly("grpc-status", "0")
			})
			p, addr := startProxy(t, storage, retries)
			ask(newClient(t, t.Context(), dial(t, addr), unary))
			if got := p.outcome(t); got.Err != nil || got.Ended != tc.ended {
				t.Errorf("ended %t with %v, want %t with OK", got.Ended, got.Err, tc.ended)
			}
		})
	}
}

// Without the StatsHandler nothing is known of the end, and so nothing is claimed.
func TestOutcome_notEndedWithoutStatsHandler(t *testing.T) {
	storage := startRawStorage(t, func(c *rawCall) { c.trailersOnly("grpc-status", "0") })
	p, addr := startProxy(t, storage)
	p.storage = dial(t, storage)
	ask(newClient(t, t.Context(), dial(t, addr), unary))
	if got := p.outcome(t); got.Err != nil || got.Ended {
		t.Errorf("ended %t with %v, want false with OK", got.Ended, got.Err)
	}
}

// Trailers and the end of the context may meet; which of them made the status cannot be told, so that it must not be claimed.
func TestArrival_inDoubtIsNotEnded(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancel()
	for _, tc := range []struct {
		desc string
		ctx  context.Context
		err  error
		want bool
	}{
		{"cancelled here", cancelled, status.Error(codes.Canceled, "context canceled"), false},
		{"expired here", expired, status.Error(codes.DeadlineExceeded, "context deadline exceeded"), false},
		{"connection closed here", t.Context(), status.Error(codes.Canceled, "grpc: the client connection is closing"), false},
		{"no status in the trailers", t.Context(), status.Error(codes.Unknown, ""), false},
		{"cancelled by the storage", t.Context(), status.Error(codes.Canceled, "context canceled"), true},
		{"expired at the storage", t.Context(), status.Error(codes.DeadlineExceeded, "context deadline exceeded"), true},
		{"another status although cancelled here", cancelled, status.Error(codes.NotFound, "gone"), true},
		{"OK although cancelled here", cancelled, io.EOF, true},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			a := new(arrival)
			a.begin(false)
			if a.ended(tc.ctx, tc.err) {
				t.Error("ended before anything arrived")
			}
			a.arrived.Store(true)
			if got := a.ended(tc.ctx, tc.err); got != tc.want {
				t.Errorf("got %t, want %t", got, tc.want)
			}
		})
	}
}

// A storage that is there, gets the call, and does not answer before it is given up.
func TestOutcome_givenUpHere(t *testing.T) {
	for _, tc := range []struct {
		desc   string
		giveUp func(c *client, p *proxy, storage *grpc.Server)
		code   codes.Code
		client bool
	}{
		{"client cancels", func(c *client, _ *proxy, _ *grpc.Server) { c.cancel() }, codes.Canceled, true},
		{"storage stops", func(_ *client, _ *proxy, storage *grpc.Server) { storage.Stop() }, codes.Unavailable, false},
		{"connection to the storage closed here",
			func(_ *client, p *proxy, _ *grpc.Server) { p.storage.(*grpc.ClientConn).Close() }, codes.Canceled, false},
	} {
		for _, method := range []string{unary, clientStream, serverStream, bidi} {
			t.Run(tc.desc+method, func(t *testing.T) {
				storage := new(shapes)
				grpcServer := grpc.NewServer()
				grpcServer.RegisterService(storage.desc(), nil)
				p, addr := startProxy(t, listen(t, grpcServer))
				reached := make(chan struct{})
				storage.behave(func(ss grpc.ServerStream) error {
					s := &serverSide{tb: t, stream: ss}
					s.recv()
					close(reached)
					s.awaitCancel()
					return errors.New("too late")
				})

				c := newClient(t, t.Context(), dial(t, addr), method)
				c.send("request")
				if !shape(method).ClientStreams {
					c.closeSend()
				}
				<-reached
				tc.giveUp(c, p, grpcServer)
				c.drain()
				got := p.outcome(t)
				if got.Ended || ofStatus(got.Err) != tc.code || (got.ClientErr != nil) != tc.client {
					t.Errorf("ended %t with %v, client's error %v; want false with %s, %t",
						got.Ended, got.Err, got.ClientErr, tc.code, tc.client)
				}
				if !got.Sent || got.Responded {
					t.Errorf("sent %t, responded %t", got.Sent, got.Responded)
				}
			})
		}
	}
}
