package proxy

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"praefect/proxy/clientconn"
	"praefect/proxy/skew"
)

// Auth is how clients prove that they may talk to this instance.
type Auth struct {
	// Token is the shared secret; empty means that none is asked for.
	Token string
	// Previous is a second secret that is accepted, while the first one is
	// replaced; empty for none.
	Previous string
	// Transitioning checks tokens and counts the results, but admits every client.
	Transitioning bool
}

const (
	// exemptMethod needs no token, as it does not for newer Gitalys: a load balancer
	// that asks for health has no secret. Watch needs one, because it never ends.
	exemptMethod = "/grpc.health.v1.Health/Check"
	// exemptTimeout bounds such a call, whose message may never come in whole.
	exemptTimeout = 5 * time.Second
	// rememberProof bounds how long a proof is not checked again that is shown again
	// on the same connection.
	rememberProof = 10 * time.Second
)

// errTooManyChecks is for clients that have no token and ask all the time.
var errTooManyChecks = status.Error(codes.ResourceExhausted, "too many health checks on a connection that has shown no token")

// tap checks the headers of a call before there is a stream, and so before a
// goroutine or a byte of its message exists. An error is the call's status.
func (s *Server) tap(ctx context.Context, info *tap.Info) (context.Context, error) {
	conn := clientconn.FromContext(ctx)
	if conn == nil {
		return nil, status.Error(codes.Internal, "the call came over an unknown connection")
	}
	a, now := *s.auth.Load(), time.Now()
	if a.Token == "" {
		if !conn.Proved() { // it was asked for one when it came
			conn.Prove()
		}
		s.metrics.authentication(a, "ok")
		return s.stoppable(ctx, info.FullMethodName), nil
	}
	outcome, err := a.check(ctx, conn, info.Header, now)
	if err == nil {
		conn.Prove()
	} else if info.FullMethodName == exemptMethod {
		outcome = "ok"
		if ctx, err = exempt(ctx, conn, now); err != nil {
			outcome = "denied"
		}
	} else if a.Transitioning {
		conn.Prove()
		err = nil
	}
	s.metrics.authentication(a, outcome)
	if err != nil {
		s.reject(ctx, conn, info, err)
		return rejected(ctx, err)
	}
	return s.stoppable(ctx, info.FullMethodName), nil
}

// check authenticates one call. The result names the outcome for the metric.
func (a Auth) check(ctx context.Context, conn *clientconn.Conn, header metadata.MD, now time.Time) (outcome string, err error) {
	shown := header.Get("authorization")
	if len(shown) == 1 && conn.Remembers(shown[0], a.Token, now) {
		return "ok", nil
	}
	err = gitalyauth.CheckToken(ctx, a.Token, now)
	if err != nil && a.Previous != "" && gitalyauth.CheckToken(ctx, a.Previous, now) == nil {
		return "previous", nil // and not remembered: it is to be counted as long as it is used
	}
	switch status.Code(err) {
	case codes.OK:
		if len(shown) == 1 {
			conn.Remember(shown[0], a.Token, proofEnds(shown[0], now))
		}
		return "ok", nil
	case codes.Unauthenticated:
		return "unauthenticated", err
	}
	if ahead, ok := skew.Of(ctx, a.Token, now); ok {
		err = status.Error(codes.PermissionDenied, "permission denied: "+skew.Text(ahead))
	}
	return "denied", err
}

// proofEnds is until when a proof that was found right may be taken for right: not
// longer than it would be if it were checked each time.
func proofEnds(shown string, now time.Time) time.Time {
	stamp, err := strconv.ParseInt(shown[strings.LastIndexByte(shown, '.')+1:], 10, 64)
	if err != nil {
		return now
	}
	ends := time.Unix(stamp, 0).Add(gitalyauth.TokenValidityDuration())
	if latest := now.Add(rememberProof); ends.After(latest) {
		return latest
	}
	return ends
}

// exempt admits a call without a token, for a short time.
func exempt(ctx context.Context, conn *clientconn.Conn, now time.Time) (context.Context, error) {
	if conn.Proved() {
		return ctx, nil
	}
	if !conn.MayCall(now) {
		return ctx, errTooManyChecks
	}
	bounded, cancel := context.WithTimeout(ctx, exemptTimeout)
	context.AfterFunc(ctx, cancel)
	return bounded, nil
}

// keptTimer is how long the timer of a rejected call may run on.
const keptTimer = 2 * time.Second

// far tells that a call has a deadline for which its timer may not run on.
func far(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) > keptTimer
}

// rejectedKey leads from the context of a call to the status that it ends with.
type rejectedKey struct{}

// rejected ends a call for its headers. gRPC never stops the timer of a call that is
// ended here: one with a deadline far away gets its stream, for a moment, and ends as
// it does in observe. Otherwise each would cost a timer for as long as its client says.
func rejected(ctx context.Context, err error) (context.Context, error) {
	if !far(ctx) {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, keptTimer) // its message may never come in whole
	context.AfterFunc(ctx, cancel)
	return context.WithValue(bounded, rejectedKey{}, err), nil
}

// reject notes a call that was refused for its headers. Only some of many get a
// line in the log.
func (s *Server) reject(ctx context.Context, conn *clientconn.Conn, info *tap.Info, err error) {
	conn.Reject(far(ctx), time.Now())
	unlogged, ok := s.rejections.take(time.Now())
	if !ok {
		return
	}
	s.log.LogAttrs(ctx, slog.LevelWarn, "rejected call",
		slog.String("grpc.request.fullMethod", cut(info.FullMethodName)),
		slog.String("grpc.code", status.Code(err).String()),
		slog.String("correlation_id", cut(first(info.Header.Get(correlationHeader)))),
		slog.String("peer.address", conn.RemoteAddr().String()),
		slog.Int("unlogged", unlogged),
		slog.String("err", err.Error()))
}
