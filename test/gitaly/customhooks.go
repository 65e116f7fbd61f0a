package gitaly

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"golang.org/x/sys/unix"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// customHooks is the directory of a repository with the hooks of its own, and
// the name of it in the archives that bring and fetch them.
const customHooks = "custom_hooks"

// GetCustomHooks sends the repository's hooks as an archive, nothing if it has
// none.
func (h *handlers) GetCustomHooks(req *gitalypb.GetCustomHooksRequest, stream gitalypb.RepositoryService_GetCustomHooksServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	dir := filepath.Join(repo.path, customHooks)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return wire.Fault(err, "look for custom hooks")
	}
	out := bufio.NewWriterSize(wire.Sender(func(chunk []byte) error {
		return stream.Send(&gitalypb.GetCustomHooksResponse{Data: chunk})
	}), wire.ChunkSize)
	w := tar.NewWriter(out)
	err = tarTree(w, dir, customHooks, func(string) bool { return true })
	if err == nil {
		err = errors.Join(w.Close(), out.Flush())
	}
	return wire.Fault(err, "archive custom hooks")
}

// SetCustomHooks replaces the repository's hooks by the hooks of the archive that is streamed in;
// none removes them.
func (h *handlers) SetCustomHooks(stream gitalypb.RepositoryService_SetCustomHooksServer) error {
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	repo, err := h.existing(first.GetRepository())
	if err != nil {
		return err
	}
	err = repo.setCustomHooks(stream.Context(), &receiver{data: first.GetData(), receive: func() ([]byte, error) {
		req, err := stream.Recv()
		return req.GetData(), err
	}})
	if err != nil {
		return wire.Fault(err, "set custom hooks")
	}
	return stream.SendAndClose(&gitalypb.SetCustomHooksResponse{})
}

// setCustomHooks swaps the hooks for the hooks of an archive, whole, if the
// storages agree.
func (r *repository) setCustomHooks(ctx context.Context, archive io.Reader) error {
	return r.storage.inTemp(func(dir string) error {
		if err := untar(dir, archive); err != nil {
			return wire.InvalidArgument("%v", err)
		}
		wanted, current := filepath.Join(dir, customHooks), filepath.Join(r.path, customHooks)
		// An empty archive has no such directory; there must be one to swap.
		if err := os.MkdirAll(wanted, 0o755); err != nil {
			return err
		}
		sum := sha1.New()
		if err := hashFiles(sum, wanted, nil); err != nil {
			return err
		}
		release, err := r.storage.locks.Acquire(ctx, current)
		if err != nil {
			return err
		}
		defer release()
		return r.around(ctx, vote.Hash(sum.Sum(nil)), func() error {
			err := unix.Renameat2(unix.AT_FDCWD, wanted, unix.AT_FDCWD, current, unix.RENAME_EXCHANGE)
			if errors.Is(err, fs.ErrNotExist) { // there were no hooks
				err = os.Rename(wanted, current)
			}
			return err
		})
	})
}
