package proxy

import (
	"cmp"
	"context"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/check"
)

// ReadinessCheck runs the checks anew for each call, for at most the request's timeout. Only a fatal one that fails makes
// the answer a failure; it then names the warnings too.
func (s serverService) ReadinessCheck(ctx context.Context, r *gitalypb.ReadinessCheckRequest) (*gitalypb.ReadinessCheckResponse, error) {
	results := check.Run(ctx, s.server.checks, r.GetTimeout().AsDuration())
	if err := ctx.Err(); err != nil {
		return nil, err // the client has gone: the checks report that
	}
	if check.Ready(results) {
		return &gitalypb.ReadinessCheckResponse{Result: &gitalypb.ReadinessCheckResponse_OkResponse{
			OkResponse: &gitalypb.ReadinessCheckResponse_Ok{},
		}}, nil
	}
	failure := &gitalypb.ReadinessCheckResponse_Failure{}
	for _, r := range results {
		if r.Err != nil {
			failure.FailedChecks = append(failure.FailedChecks, &gitalypb.ReadinessCheckResponse_Failure_Response{
				Name: r.Name, ErrorMessage: r.Err.Error(),
			})
		}
	}
	slices.SortFunc(failure.FailedChecks, func(a, b *gitalypb.ReadinessCheckResponse_Failure_Response) int {
		return cmp.Compare(a.GetName(), b.GetName())
	})
	return &gitalypb.ReadinessCheckResponse{Result: &gitalypb.ReadinessCheckResponse_FailureResponse{FailureResponse: failure}}, nil
}
