package gitaly

import (
	"bytes"
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// Fsck answers git's complaints about the objects of a repository.
func (h *handlers) Fsck(ctx context.Context, req *gitalypb.FsckRequest) (*gitalypb.FsckResponse, error) {
	target, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	var said bytes.Buffer
	err = h.git.run(ctx, command{repo: target, args: []string{"fsck", "--no-progress", "--no-dangling"}, stdout: &said, stderr: &said})
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code > 0 {
		return &gitalypb.FsckResponse{Error: said.Bytes()}, nil
	}
	if err != nil {
		return nil, wire.Fault(err, "check objects")
	}
	return &gitalypb.FsckResponse{}, nil
}
