package proxy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/clientconn"
)

// correlationHeader carries the id that ties the log lines of all parts of
// GitLab for one request together.
const correlationHeader = "x-gitlab-correlation-id"

// call collects the facts about one call on its way, for its log line. It belongs
// to the goroutine of the call.
type call struct {
	correlationID  string
	kind           string
	virtualStorage string
	relativePath   string
	storage        string
	// glRepository and glProjectPath are GitLab's names of the repository, if the log wants them.
	glRepository, glProjectPath string
	// requestBytes and responseBytes are the sizes of all messages of the client and to it.
	requestBytes, responseBytes int64
}

type callKey struct{}

// callOf returns the record of the call that ctx belongs to.
func callOf(ctx context.Context) *call {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &call{}
	}
	return c
}

// observe runs handler for one call: it catches a panic, gives the error its code,
// and writes the one log line of the call. The call was authenticated before there
// was a stream; see tap.
func (s *Server) observe(ctx context.Context, rpc rpc, handler func(ctx context.Context) error) (err error) {
	fullMethod := rpc.fullMethod
	if err, ok := ctx.Value(rejectedKey{}).(error); ok {
		return err // it was noted when its headers came
	}
	if ctx.Err() != nil {
		return s.takenBack(ctx, fullMethod)
	}
	start := time.Now()
	c := &call{kind: "intercepted", correlationID: correlationID(ctx)}
	ctx = context.WithValue(ctx, callKey{}, c)
	defer func() {
		if p := recover(); p != nil {
			s.metrics.panics.Inc()
			s.log.Error("panic in a call", "grpc.request.fullMethod", cut(fullMethod), "correlation_id", c.correlationID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = status.Error(codes.Internal, "internal error; the instance's log has a line with this correlation id: "+c.correlationID)
		}
		if ctx.Err() != nil && time.Since(start) < soon {
			noteTakenBack(ctx)
		}
		s.ended(ctx, c, rpc, start, err)
	}()
	return toStatus(handler(ctx))
}

// ended counts a call that has ended, and writes its line.
func (s *Server) ended(ctx context.Context, c *call, rpc rpc, start time.Time, err error) {
	s.metrics.methods.WithLabelValues(c.kind).Inc()
	from := originOf(ctx)
	s.metrics.clients.count(clientCall{
		origin: from, method: rpc.counted, code: status.Code(err), kind: c.kind, scope: rpc.scope, exempt: rpc.fullMethod == exemptMethod,
	})
	s.cfg.Tracer.Annotate(ctx, "correlation_id", c.correlationID, "gitaly.virtual_storage", c.virtualStorage,
		"gitaly.relative_path", c.relativePath, "gitaly.storage", c.storage, "gitaly.client_name", from.clientName)
	s.logCall(ctx, c, rpc, from, start, err)
}

// takenBack ends a call that its client has given up before it began. Nothing is done for it,
// and only some of many get a line in the log: a client may open and take back 100,000 a second.
func (s *Server) takenBack(ctx context.Context, fullMethod string) error {
	noteTakenBack(ctx)
	err := status.FromContextError(ctx.Err()).Err()
	if unlogged, ok := s.takenBacks.take(time.Now()); ok {
		s.log.LogAttrs(ctx, slog.LevelInfo, "call was taken back before it began",
			slog.String("grpc.request.fullMethod", cut(fullMethod)), slog.String("grpc.code", status.Code(err).String()),
			slog.String("correlation_id", correlationID(ctx)), slog.Int("unlogged", unlogged))
	}
	return err
}

// soon is the time within which a call must be given up to count as taken back.
const soon = 100 * time.Millisecond

// noteTakenBack tells the connection of the call.
func noteTakenBack(ctx context.Context) {
	if conn := clientconn.FromContext(ctx); conn != nil && errors.Is(ctx.Err(), context.Canceled) {
		conn.TakenBack(time.Now())
	}
}

// levelOf is the level that the end of a call deserves: a mistake of the client is no warning, and
// a fault of ours is an error.
func levelOf(code codes.Code) slog.Level {
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange,
		codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return slog.LevelWarn
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return slog.LevelError
	}
	return slog.LevelInfo
}

// correlationID is the client's, or a new one.
func correlationID(ctx context.Context) string {
	if ids := metadata.ValueFromIncomingContext(ctx, correlationHeader); len(ids) > 0 && ids[0] != "" {
		return cut(ids[0])
	}
	var id [16]byte
	rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

func (s *Server) observeUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	err = s.observe(ctx, s.rpcOf(info.FullMethod, true, false, false), func(ctx context.Context) error {
		var err error
		resp, err = handler(ctx, req)
		c := callOf(ctx)
		c.requestBytes = payload(req)
		if err == nil {
			c.responseBytes = payload(resp)
		}
		return err
	})
	return resp, err
}

func (s *Server) observeStream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return s.observe(ss.Context(), s.rpcOf(info.FullMethod, srv != nil, info.IsClientStream, info.IsServerStream), func(ctx context.Context) error {
		observed := &observedStream{ServerStream: ss, ctx: ctx, stall: s.cfg.SendStall}
		defer func() {
			observed.end()
			c := callOf(ctx)
			c.requestBytes, c.responseBytes = observed.received.Load(), observed.sent.Load()
		}()
		return handler(srv, observed)
	})
}
