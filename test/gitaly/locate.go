package gitaly

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// repository is a place in a storage where a bare repository is or will be.
type repository struct {
	git     *git
	storage *storage
	path    string // absolute
}

// run runs git in the repository.
func (r *repository) run(ctx context.Context, c command) error {
	c.repo = r
	return r.git.run(ctx, c)
}

// output runs git in the repository and returns its output.
func (r *repository) output(ctx context.Context, args ...string) ([]byte, error) {
	return r.git.output(ctx, command{repo: r, args: args})
}

// locate returns the place that a request names, whether or not a repository
// is there. Its errors are statuses.
func (h *handlers) locate(named *gitalypb.Repository) (*repository, error) {
	if err := wire.CheckFields(named); err != nil {
		return nil, err
	}
	if named.GetGitObjectDirectory() != "" || len(named.GetGitAlternateObjectDirectories()) > 0 {
		return nil, status.Error(codes.Unimplemented, "quarantined objects are not served")
	}
	s, err := h.storage(named.GetStorageName())
	if err != nil {
		return nil, err
	}
	clean, err := wire.CleanPath(named.GetRelativePath())
	if err != nil {
		return nil, err
	}
	return &repository{git: h.git, storage: s, path: filepath.Join(s.dir, clean)}, nil
}

// existing returns the repository that a request names. Its errors are
// statuses: NotFound if nothing is there, FailedPrecondition if something else.
func (h *handlers) existing(named *gitalypb.Repository) (*repository, error) {
	r, err := h.locate(named)
	if err != nil {
		return nil, err
	}
	missing, err := missingEntry(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, wire.RepositoryNotFound()
	case err != nil:
		return nil, wire.Fault(err, "check repository")
	case missing != "":
		return nil, status.Errorf(codes.FailedPrecondition, "repository not valid: %q does not exist", missing)
	}
	return r, nil
}

// storage returns the storage of that name.
func (h *handlers) storage(name string) (*storage, error) {
	for _, s := range h.storages {
		if s.name == name {
			return s, nil
		}
	}
	return nil, wire.UnknownStorage()
}

// missingEntry returns the entry that the directory lacks to be a repository, "" if it
// is one. The error is fs.ErrNotExist if the directory itself is absent.
func missingEntry(dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil {
		return "", err
	}
	for _, name := range []string{"objects", "refs", "HEAD"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}
