package gitaly

import (
	"context"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// CreateFork makes a repository with the branches and tags of another one, or
// with one branch of it. It reaches the source as the gitaly-servers header
// says.
func (h *handlers) CreateFork(ctx context.Context, req *gitalypb.CreateForkRequest) (*gitalypb.CreateForkResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	wanted := []string{"+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"}
	if revision := req.GetRevision(); len(revision) > 0 {
		if err := checkRefName(revision); err != nil {
			return nil, err
		}
		wanted = []string{"+" + string(revision) + ":" + string(revision)}
	}
	source, err := h.openSource(ctx, req.GetSourceRepository())
	if err != nil {
		return nil, err
	}
	defer h.closeSource(source)
	err = h.create(ctx, target, nil, func(ctx context.Context, draft *repository) error {
		if err := source.fetch(ctx, draft, wanted...); err != nil {
			return err
		}
		if revision := req.GetRevision(); len(revision) > 0 {
			return draft.setHead(ctx, string(revision))
		}
		return source.copyHead(ctx, draft)
	})
	return wire.Answer(&gitalypb.CreateForkResponse{}, err)
}
