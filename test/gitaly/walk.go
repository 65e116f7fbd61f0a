package gitaly

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/gitaly/internal/wire"
)

// WalkRepos sends every repository of the storage, in the order of the paths.
func (h *handlers) WalkRepos(req *gitalypb.WalkReposRequest, stream gitalypb.InternalGitaly_WalkReposServer) error {
	s, err := h.storage(req.GetStorageName())
	if err != nil {
		return err
	}
	err = s.walk(func(relative string, info fs.FileInfo) error {
		if err := stream.Context().Err(); err != nil {
			return err
		}
		return stream.Send(&gitalypb.WalkReposResponse{
			RelativePath:     relative,
			ModificationTime: timestamppb.New(info.ModTime()),
		})
	})
	return wire.Fault(err, "walk storage")
}

// walk calls found for every repository of the storage. It looks neither into
// repositories nor into directories with a dot in front or of Gitaly's own.
func (s *storage) walk(found func(relative string, info fs.FileInfo) error) error {
	return filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path != s.dir {
			return nil // removed meanwhile
		}
		if err != nil {
			return err
		}
		if !entry.IsDir() || path == s.dir {
			return nil
		}
		if strings.HasPrefix(entry.Name(), ".") || path == filepath.Join(s.dir, wire.DataPrefix) {
			return fs.SkipDir
		}
		missing, err := missingEntry(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case missing != "":
			return nil
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(s.dir, path)
		if err != nil {
			return err
		}
		if err := found(relative, info); err != nil {
			return err
		}
		return fs.SkipDir
	})
}
