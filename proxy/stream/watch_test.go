package stream

import (
	"context"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func TestWatch_endedOnlyByTheStoragesStatus(t *testing.T) {
	for _, tc := range []struct {
		desc  string
		serve func(*rawCall)
		ended bool
	}{
		{"response and status OK", func(c *rawCall) {
			c.responseHeaders()
			c.message(false)
			c.headers(true, "grpc-status", "0")
		}, true},
		{"status alone", func(c *rawCall) { c.trailersOnly("grpc-status", "5", "grpc-message", "gone") }, true},
		{"reset", func(c *rawCall) { c.reset(http2.ErrCodeCancel) }, false},
		{"connection closed after the response", func(c *rawCall) {
			c.responseHeaders()
			c.message(false)
			c.hangUp()
		}, false},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			conn := dial(t, startRawStorage(t, tc.serve), grpc.WithStatsHandler(StatsHandler{}))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			call, ended := Watch(ctx)
			err := conn.Invoke(call, unary, new(emptypb.Empty), new(emptypb.Empty))
			if got := ended(err); got != tc.ended {
				t.Errorf("ended %t after %v, want %t", got, err, tc.ended)
			}
		})
	}
}

func TestWatch_givenUpHereHasNotEnded(t *testing.T) {
	conn := dial(t, startRawStorage(t, func(c *rawCall) { c.responseHeaders() }), grpc.WithStatsHandler(StatsHandler{}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	call, ended := Watch(ctx)
	if err := conn.Invoke(call, unary, new(emptypb.Empty), new(emptypb.Empty)); err == nil || ended(err) {
		t.Errorf("ended after %v", err)
	}
}
