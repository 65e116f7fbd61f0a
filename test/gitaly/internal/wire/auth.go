package wire

import (
	"context"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc"
)

// checkUnary and checkStream ask for the v2 token on every call, health and
// unknown methods included, as Gitaly 16 does.
func (h *Host) checkUnary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := h.check(ctx); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

func (h *Host) checkStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := h.check(stream.Context()); err != nil {
		return err
	}
	return handler(srv, stream)
}

func (h *Host) check(ctx context.Context) error {
	if h.token == "" {
		return nil
	}
	return gitalyauth.CheckToken(ctx, h.token, time.Now())
}
