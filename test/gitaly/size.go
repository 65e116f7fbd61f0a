package gitaly

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

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
	err = target.eachFile(ctx, func(_ string, info fs.FileInfo) { bytes += info.Size() })
	if err != nil {
		return nil, wire.Fault(err, "measure repository")
	}
	return &gitalypb.RepositorySizeResponse{Size: bytes / 1024}, nil
}

// RepositoryInfo returns sizes in bytes. Which objects are stale is not told
// apart: all count as recent.
func (h *handlers) RepositoryInfo(ctx context.Context, req *gitalypb.RepositoryInfoRequest) (*gitalypb.RepositoryInfoResponse, error) {
	target, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	references, objects := &gitalypb.RepositoryInfoResponse_ReferencesInfo{}, &gitalypb.RepositoryInfoResponse_ObjectsInfo{}
	resp := &gitalypb.RepositoryInfoResponse{References: references, Objects: objects}
	err = target.eachFile(ctx, func(relative string, info fs.FileInfo) {
		size := uint64(info.Size())
		resp.Size += size
		switch {
		case relative == "packed-refs":
			references.PackedSize = size
		case strings.HasPrefix(relative, "refs/"):
			references.LooseCount++
		case strings.HasPrefix(relative, "objects/"):
			objects.Size += size
			objects.RecentSize += size
		}
	})
	if err != nil {
		return nil, wire.Fault(err, "measure repository")
	}
	return resp, nil
}

// eachFile calls found for every file of the repository.
func (r *repository) eachFile(ctx context.Context, found func(relative string, info fs.FileInfo)) error {
	return filepath.WalkDir(r.path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			var info fs.FileInfo
			if info, err = entry.Info(); err == nil {
				found(strings.TrimPrefix(path, r.path+"/"), info)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone meanwhile: git tidies up
			return err
		}
		return ctx.Err()
	})
}

// ObjectFormat returns which kind of object ids the repository has.
func (h *handlers) ObjectFormat(_ context.Context, req *gitalypb.ObjectFormatRequest) (*gitalypb.ObjectFormatResponse, error) {
	if _, err := h.existing(req.GetRepository()); err != nil {
		return nil, err
	}
	// No other is made here.
	return &gitalypb.ObjectFormatResponse{Format: gitalypb.ObjectFormat_OBJECT_FORMAT_SHA1}, nil
}
