// Package wire owns the part of the wire protocol that all storages of this project's tests share:
// the server around the handlers, the token check, the faults of a repository field, the dialling
// of other storages and the checksum. It promises Gitaly's status codes and its texts where clients
// match on them. Only the packages below test/gitaly may call it.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/test/gitaly/internal/vote"
)

// Gitaly's own keep-alive figures: a proxy pings every 20 s, so a server that
// did not permit it would cut the proxy's idle connections.
const (
	clientPingAtLeast = 10 * time.Second
	serverPing        = 5 * time.Minute
)

// Host runs one gRPC server around the handlers of a storage.
type Host struct {
	token       string
	grace       time.Duration
	log         *slog.Logger
	backchannel bool
	more        []grpc.ServerOption

	kill     chan struct{} // closed by Kill: end now, without grace
	killOnce sync.Once
}

// NewHost returns a host that asks every call for token (none when it is
// empty) and lets calls run on for grace after it was told to stop. With
// backchannel it also takes clients that multiplex their connections, and calls
// them back to vote. The options come after the host's own.
func NewHost(token string, grace time.Duration, log *slog.Logger, backchannel bool, more ...grpc.ServerOption) *Host {
	return &Host{token: token, grace: grace, log: log, backchannel: backchannel, more: more, kill: make(chan struct{})}
}

// Kill ends Run at once, as a crash would look to clients: connections break,
// handlers are cancelled. It does not wait; Run returning says that it is over.
func (h *Host) Kill() {
	h.killOnce.Do(func() { close(h.kill) })
}

// Run serves the services that register adds, and health, on lis until ctx ends or
// Kill is called. It closes lis, and returns when the last handler has.
func (h *Host) Run(ctx context.Context, lis net.Listener, register func(grpc.ServiceRegistrar)) error {
	creds := insecure.NewCredentials()
	if h.backchannel {
		creds = channel.NewServerCredentials(creds, channel.Config{Logger: h.log})
	}
	server := grpc.NewServer(append([]grpc.ServerOption{
		grpc.WaitForHandlers(true),
		grpc.Creds(creds),
		grpc.ChainUnaryInterceptor(h.logUnary, h.checkUnary, vote.Unary(coordinator)),
		grpc.ChainStreamInterceptor(h.logStream, h.checkStream, vote.Stream(coordinator)),
		grpc.UnknownServiceHandler(unknownMethod),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: clientPingAtLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing}),
	}, h.more...)...)
	register(server)
	checks := health.NewServer()
	healthpb.RegisterHealthServer(server, checks)

	served := make(chan error, 1) // one result, so that the goroutine never waits
	go func() { served <- server.Serve(lis) }()

	select {
	case err := <-served:
		server.Stop()
		return fmt.Errorf("serve %q: %w", lis.Addr(), err)
	case <-h.kill:
	case <-ctx.Done():
		checks.Shutdown()
		h.drain(server)
	}
	server.Stop()
	if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fmt.Errorf("serve %q: %w", lis.Addr(), err)
	}
	return nil
}

// drain waits until the running calls have ended, at most for the grace.
func (h *Host) drain(server *grpc.Server) {
	if h.grace <= 0 {
		return
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		server.GracefulStop()
	}()
	timer := time.NewTimer(h.grace)
	defer timer.Stop()
	select {
	case <-drained:
		return
	case <-timer.C:
		h.log.Warn("calls cut off at the end of the grace period", "grace", h.grace)
	case <-h.kill:
	}
	server.Stop() // ends GracefulStop too
	<-drained
}

// coordinator reaches the counter of the votes of a call: its client, if it can be
// called back.
func coordinator(ctx context.Context) (vote.Coordinator, error) {
	session, ok := channel.FromContext(ctx)
	if !ok {
		return nil, nil
	}
	back, err := session.Client()
	if err != nil {
		return nil, err
	}
	return gitalypb.NewRefTransactionClient(back), nil
}

func unknownMethod(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return status.Errorf(codes.Unimplemented, "unknown method %s", method)
}

func (h *Host) logUnary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	start := time.Now()
	resp, err := handler(ctx, req)
	h.logCall(ctx, info.FullMethod, start, err)
	return resp, err
}

func (h *Host) logStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	start := time.Now()
	err := handler(srv, stream)
	h.logCall(stream.Context(), info.FullMethod, start, err)
	return err
}

// logCall writes a line a call: errors that a client may cause at debug, errors that only
// the storage can be blamed for as a warning.
func (h *Host) logCall(ctx context.Context, method string, start time.Time, err error) {
	level := slog.LevelDebug
	code := status.Code(err)
	switch code {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("method", method), slog.String("code", code.String()), slog.Duration("duration", time.Since(start))}
	if err != nil {
		attrs = append(attrs, slog.Any("err", err))
	}
	h.log.LogAttrs(ctx, level, "finished call", attrs...)
}
