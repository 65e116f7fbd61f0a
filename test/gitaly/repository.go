package gitaly

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// CreateRepository makes an empty repository; HEAD names the wanted branch,
// main if none is.
func (h *handlers) CreateRepository(ctx context.Context, req *gitalypb.CreateRepositoryRequest) (*gitalypb.CreateRepositoryResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	var options []string
	if branch := req.GetDefaultBranch(); len(branch) > 0 {
		options = append(options, "--initial-branch="+string(branch))
	}
	switch req.GetObjectFormat() {
	case gitalypb.ObjectFormat_OBJECT_FORMAT_UNSPECIFIED, gitalypb.ObjectFormat_OBJECT_FORMAT_SHA1:
	default:
		return nil, wire.InvalidArgument("object format %v is not served", req.GetObjectFormat())
	}
	return wire.Answer(&gitalypb.CreateRepositoryResponse{}, h.create(ctx, target, options, nil))
}

// RemoveRepository removes the repository at once from sight, then from disk.
func (h *handlers) RemoveRepository(ctx context.Context, req *gitalypb.RemoveRepositoryRequest) (*gitalypb.RemoveRepositoryResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	return wire.Answer(&gitalypb.RemoveRepositoryResponse{}, h.discard(ctx, target))
}

// RepositoryExists reports whether a valid repository is at the place named.
func (h *handlers) RepositoryExists(_ context.Context, req *gitalypb.RepositoryExistsRequest) (*gitalypb.RepositoryExistsResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	missing, err := missingEntry(target.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, wire.Fault(err, "check repository")
	}
	return &gitalypb.RepositoryExistsResponse{Exists: err == nil && missing == ""}, nil
}

// OptimizeRepository removes stale locks, and packs objects and references. Either strategy does all of
// it: which work Gitaly's heuristics would spare is not visible to clients.
func (h *handlers) OptimizeRepository(ctx context.Context, req *gitalypb.OptimizeRepositoryRequest) (*gitalypb.OptimizeRepositoryResponse, error) {
	target, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if _, ok := gitalypb.OptimizeRepositoryRequest_Strategy_name[int32(req.GetStrategy())]; !ok {
		return nil, wire.InvalidArgument("unsupported optimization strategy %d", req.GetStrategy())
	}
	if err := removeLocksOlder(target.path, staleLock); err != nil {
		return nil, wire.Fault(err, "remove stale locks")
	}
	args := []string{"gc", "--quiet"}
	if target.isPool() {
		args = append(args, "--no-prune")
	}
	if _, err := target.output(ctx, args...); err != nil {
		return nil, wire.Fault(err, "optimize repository")
	}
	return &gitalypb.OptimizeRepositoryResponse{}, nil
}

// seed fills a repository that no caller sees yet. Its errors may be statuses.
type seed func(ctx context.Context, draft *repository) error

// create makes a repository out of sight, lets seed fill it, and moves it to
// its place: no caller sees half of it, and of two creations one wins. Its errors
// are statuses.
func (h *handlers) create(ctx context.Context, target *repository, options []string, seed seed) error {
	if _, err := os.Lstat(target.path); err == nil {
		return wire.Fault(wire.RepositoryExists(), "creating repository")
	}
	err := target.storage.inTemp(func(dir string) error {
		draft := &repository{git: h.git, storage: target.storage, path: filepath.Join(dir, "repository")}
		unseen := vote.Without(ctx)
		if _, err := draft.output(unseen, append([]string{"init", "--bare", "--quiet", "--template="}, options...)...); err != nil {
			return err
		}
		if seed != nil {
			if err := seed(unseen, draft); err != nil {
				return err
			}
		}
		return target.takePlace(ctx, draft)
	})
	return wire.Fault(err, "creating repository")
}

// takePlace moves a repository to its place, if the storages agree.
func (r *repository) takePlace(ctx context.Context, draft *repository) error {
	if vote.From(ctx) == nil {
		// From here on the repository is there, even if we die on the next line.
		return place(draft.path, r.path)
	}
	sum, err := draft.hash(vote.Without(ctx))
	if err != nil {
		return err
	}
	release, err := r.storage.locks.Acquire(ctx, r.path)
	if err != nil {
		return err
	}
	defer release()
	if _, err := os.Lstat(r.path); err == nil {
		return wire.RepositoryExists()
	}
	return r.around(ctx, sum, func() error { return place(draft.path, r.path) })
}

// place moves a repository to where nothing is yet.
func place(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err := os.Rename(from, to)
	if errors.Is(err, fs.ErrExist) { // a directory with something in it is never replaced
		return wire.RepositoryExists()
	}
	return err
}

// discard moves the content of the place out of sight, if the storages agree, then
// deletes it. Its errors are statuses: NotFound if nothing is there.
func (h *handlers) discard(ctx context.Context, target *repository) error {
	release, err := target.storage.locks.Acquire(ctx, target.path)
	if err != nil {
		return wire.Fault(err, "remove repository")
	}
	defer release()
	if _, err := os.Lstat(target.path); errors.Is(err, fs.ErrNotExist) {
		return wire.NothingToRemove()
	}
	dir, err := target.storage.tempDir()
	if err != nil {
		return wire.Fault(err, "remove repository")
	}
	err = target.around(ctx, vote.Of([]byte("remove "+target.relative())), func() error {
		return os.Rename(target.path, filepath.Join(dir, "removed"))
	})
	if err := os.RemoveAll(dir); err != nil {
		// It is removed for all callers; the next start deletes the rest.
		h.log.Warn("removed repository left on disk", "dir", dir, "err", err)
	}
	if errors.Is(err, fs.ErrNotExist) { // another process than this server was faster
		return wire.NothingToRemove()
	}
	return wire.Fault(err, "remove repository")
}
