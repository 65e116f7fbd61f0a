package gitaly

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// poolRefs is where a pool keeps its origin's references.
const poolRefs = "+refs/*:refs/remotes/origin/*"

// CreateObjectPool makes a pool with the objects of a repository.
func (h *handlers) CreateObjectPool(ctx context.Context, req *gitalypb.CreateObjectPoolRequest) (*gitalypb.CreateObjectPoolResponse, error) {
	pool, err := h.locatePool(req.GetObjectPool())
	if err != nil {
		return nil, err
	}
	origin, err := h.existing(req.GetOrigin())
	if err != nil {
		return nil, err
	}
	if origin.storage != pool.storage {
		return nil, wire.InvalidArgument("origin has different storage than object pool")
	}
	err = h.create(ctx, pool, nil, func(ctx context.Context, draft *repository) error {
		return draft.run(ctx, fetchCommand(origin.path, []string{poolRefs}))
	})
	return wire.Answer(&gitalypb.CreateObjectPoolResponse{}, err)
}

// DeleteObjectPool removes a pool, on which no storage votes; one that is absent is
// removed already.
func (h *handlers) DeleteObjectPool(ctx context.Context, req *gitalypb.DeleteObjectPoolRequest) (*gitalypb.DeleteObjectPoolResponse, error) {
	pool, err := h.locatePool(req.GetObjectPool())
	if err != nil {
		return nil, err
	}
	if err := h.discard(vote.Without(ctx), pool); err != nil && status.Code(err) != codes.NotFound {
		return nil, err
	}
	return &gitalypb.DeleteObjectPoolResponse{}, nil
}

// LinkRepositoryToObjectPool lets a repository borrow a pool's objects.
func (h *handlers) LinkRepositoryToObjectPool(ctx context.Context, req *gitalypb.LinkRepositoryToObjectPoolRequest) (*gitalypb.LinkRepositoryToObjectPoolResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if _, err := h.locatePool(req.GetObjectPool()); err != nil {
		return nil, err
	}
	pool, err := h.existing(req.GetObjectPool().GetRepository())
	if err != nil {
		return nil, err
	}
	if repo.storage != pool.storage {
		return nil, wire.InvalidArgument("repository has different storage than object pool")
	}
	return wire.Answer(&gitalypb.LinkRepositoryToObjectPoolResponse{}, wire.Fault(repo.link(ctx, pool), "link repository to object pool"))
}

// GetObjectPool returns the pool that a repository borrows from, if any.
func (h *handlers) GetObjectPool(_ context.Context, req *gitalypb.GetObjectPoolRequest) (*gitalypb.GetObjectPoolResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	dirs, err := repo.objectDirs()
	if err != nil {
		return nil, wire.Fault(err, "read alternates")
	}
	if len(dirs) < 2 {
		return &gitalypb.GetObjectPoolResponse{}, nil
	}
	relative, err := filepath.Rel(repo.storage.dir, filepath.Dir(dirs[1]))
	if err != nil {
		return nil, wire.Fault(err, "locate object pool")
	}
	return &gitalypb.GetObjectPoolResponse{ObjectPool: &gitalypb.ObjectPool{
		Repository: &gitalypb.Repository{StorageName: repo.storage.name, RelativePath: relative},
	}}, nil
}

// DisconnectGitAlternates gives a repository its own copy of the objects that it borrows,
// then ends the borrowing.
func (h *handlers) DisconnectGitAlternates(ctx context.Context, req *gitalypb.DisconnectGitAlternatesRequest) (*gitalypb.DisconnectGitAlternatesResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	return wire.Answer(&gitalypb.DisconnectGitAlternatesResponse{}, wire.Fault(repo.unlink(ctx), "disconnect alternates"))
}

// locatePool returns the place of a pool, which has directories of its own:
// the objects in them are never pruned. Its errors are statuses.
func (h *handlers) locatePool(named *gitalypb.ObjectPool) (*repository, error) {
	pool, err := h.locate(named.GetRepository())
	if err != nil {
		return nil, err
	}
	if !pool.isPool() {
		return nil, wire.InvalidArgument("invalid object pool directory")
	}
	return pool, nil
}

func (r *repository) isPool() bool {
	for _, dir := range []string{"@pools", "@cluster/pools"} {
		if strings.HasPrefix(r.path, filepath.Join(r.storage.dir, dir)+"/") {
			return true
		}
	}
	return false
}

// alternates is the file that names the directories to borrow from.
func (r *repository) alternates() string {
	return filepath.Join(r.path, "objects", "info", "alternates")
}

// link makes the repository borrow from the pool and from nothing else.
func (r *repository) link(ctx context.Context, pool *repository) error {
	release, err := r.storage.locks.Acquire(ctx, r.alternates())
	if err != nil {
		return err
	}
	defer release()
	dirs, err := r.objectDirs()
	if err != nil {
		return err
	}
	objects := filepath.Join(pool.path, "objects")
	if len(dirs) > 2 || len(dirs) == 2 && dirs[1] != objects {
		return status.Error(codes.FailedPrecondition, "repository is linked to another object pool")
	}
	relative, err := filepath.Rel(filepath.Join(r.path, "objects"), objects)
	if err != nil {
		return err
	}
	return r.storage.inTemp(func(dir string) error {
		draft := filepath.Join(dir, "alternates")
		if err := os.WriteFile(draft, []byte(relative+"\n"), 0o644); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(r.alternates()), 0o755); err != nil {
			return err
		}
		// A storage with a linked repository agrees with the storages that lack the link.
		return r.around(ctx, vote.Of([]byte("link to "+pool.relative())), func() error {
			return os.Rename(draft, r.alternates())
		})
	})
}

// unlink packs all that the repository needs into it, then borrows no more.
func (r *repository) unlink(ctx context.Context) error {
	release, err := r.storage.locks.Acquire(ctx, r.alternates())
	if err != nil {
		return err
	}
	defer release()
	dirs, err := r.objectDirs()
	if err != nil {
		return err
	}
	if len(dirs) > 1 {
		if _, err := r.output(ctx, "repack", "-a", "-d", "-k", "--quiet"); err != nil {
			return err
		}
	}
	return r.around(ctx, vote.Of([]byte("disconnect "+r.relative())), func() error {
		err := os.Remove(r.alternates())
		if errors.Is(err, fs.ErrNotExist) { // there was nothing to borrow
			return nil
		}
		return err
	})
}

// objectDirs returns where the repository has objects: its own directory and the ones
// that it borrows from.
func (r *repository) objectDirs() ([]string, error) {
	own := filepath.Join(r.path, "objects")
	raw, err := os.ReadFile(filepath.Join(own, "info", "alternates"))
	if errors.Is(err, fs.ErrNotExist) {
		return []string{own}, nil
	}
	if err != nil {
		return nil, err
	}
	dirs := []string{own}
	for line := range bytes.Lines(raw) {
		dir := string(bytes.TrimRight(line, "\n"))
		if dir == "" {
			continue
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(own, dir)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}
