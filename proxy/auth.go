package proxy

import (
	"context"
	"strings"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/skew"
)

// Auth is how clients prove that they may talk to this instance.
type Auth struct {
	// Token is the shared secret; empty means that none is asked for.
	Token string
	// Transitioning checks tokens and counts what it finds, but lets every
	// client in.
	Transitioning bool
}

// healthPath is exempt, as it is for newer Gitalys: a load balancer that
// asks for health has no secret.
const healthPath = "/grpc.health.v1.Health/"

// check authenticates one call. The result names the outcome for the metric.
func (a Auth) check(ctx context.Context, fullMethod string) (outcome string, err error) {
	if a.Token == "" || strings.HasPrefix(fullMethod, healthPath) {
		return "ok", nil
	}
	err = gitalyauth.CheckToken(ctx, a.Token, time.Now())
	switch status.Code(err) {
	case codes.OK:
		return "ok", nil
	case codes.Unauthenticated:
		outcome = "unauthenticated"
	default:
		outcome = "denied"
	}
	if a.Transitioning {
		return outcome, nil
	}
	if ahead, ok := skew.Of(ctx, a.Token, time.Now()); ok {
		err = status.Error(codes.PermissionDenied, "permission denied: "+skew.Text(ahead))
	}
	return outcome, err
}
