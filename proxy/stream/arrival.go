package stream

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// StatsHandler notes for each branch whether the storage's status arrived. It goes on every connection to a storage, with
// grpc.WithStatsHandler; without it no [Outcome] of a branch there is ever Ended.
//
// It tells a status that a storage sent from one that gRPC made up here because the connection
// broke or the call was given up: they look alike to the caller of RecvMsg. gRPC reports InTrailer
// where it has decoded trailers off the wire, and nowhere else.
type StatsHandler struct{}

var _ stats.Handler = StatsHandler{}

// TagRPC is called by gRPC.
func (StatsHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC is called by gRPC.
func (StatsHandler) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.Begin:
		if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
			a.begin(s.IsTransparentRetryAttempt)
		}
	case *stats.InTrailer:
		if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok {
			a.arrived.Store(true)
		}
	}
}

// TagConn is called by gRPC.
func (StatsHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn is called by gRPC.
func (StatsHandler) HandleConn(context.Context, stats.ConnStats) {}

type arrivalKey struct{}

// arrival holds the notes of the StatsHandler about one branch. gRPC may make several attempts for one
// branch, one after the other.
type arrival struct {
	begun   atomic.Bool // an attempt was begun
	arrived atomic.Bool // the trailers of the last attempt arrived
	lost    atomic.Bool // an attempt that a storage may have worked on was given up without trailers
}

// begin notes a new attempt. It is transparent if the one before never reached the storage's
// application, which is the server's own word; any other attempt without trailers may still have
// its effect, even if the new one fails.
func (a *arrival) begin(transparent bool) {
	if a.begun.Swap(true) && !transparent && !a.arrived.Load() {
		a.lost.Store(true)
	}
	a.arrived.Store(false)
}

// ended reports whether err, by which a branch in ctx ended, is the status that the storage sent. It errs on one side only:
// false where it cannot be told.
func (a *arrival) ended(ctx context.Context, err error) bool {
	if !a.arrived.Load() || a.lost.Load() {
		return false
	}
	if err == io.EOF {
		return true // only trailers bring status OK
	}
	st := status.Convert(err)
	switch {
	case ctx.Err() != nil && (st.Code() == codes.Canceled || st.Code() == codes.DeadlineExceeded):
		return false // the trailers came while the branch was being given up here, and may have lost that race
	//lint:ignore SA1019 the code alone would not tell it from a storage's Canceled
	case errors.Is(err, grpc.ErrClientConnClosing):
		return false // likewise, with the connection closed here
	case st.Code() == codes.Unknown && st.Message() == "":
		return false // gRPC's own status for trailers without one
	}
	return true
}
