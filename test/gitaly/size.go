package gitaly

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// RepositorySize returns the size of all files in KiB, rounded down.
func (h *handlers) RepositorySize(ctx context.Context, req *gitalypb.RepositorySizeRequest) (*gitalypb.RepositorySizeResponse, error) {
	target, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	var bytes int64
	err = target.eachFile(ctx, func(info fs.FileInfo) { bytes += info.Size() })
	if err != nil {
		return nil, wire.Fault(err, "measure repository")
	}
	return &gitalypb.RepositorySizeResponse{Size: bytes / 1024}, nil
}

// eachFile calls found for every file of the repository.
func (r *repository) eachFile(ctx context.Context, found func(fs.FileInfo)) error {
	return filepath.WalkDir(r.path, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				found(info)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone meanwhile: git tidies up
			return err
		}
		return ctx.Err()
	})
}
