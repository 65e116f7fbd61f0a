package gitaly

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"praefect/test/gitaly/internal/vote"
)

// headLockWait is how long a change of HEAD waits for another one, as git waits
// for the lock of a reference.
const (
	headLockWait = time.Second
	headLockPoll = 10 * time.Millisecond
)

// setHead makes HEAD name a reference. Not every git asks its hook about that,
// so it is done here, under git's own lock.
func (r *repository) setHead(ctx context.Context, ref string) (err error) {
	if !strings.HasPrefix(ref, "refs/") {
		return fmt.Errorf("HEAD cannot name %q: it is no reference", ref)
	}
	if _, err := r.output(ctx, "check-ref-format", ref); err != nil {
		return err
	}
	if err := r.storage.running.enter(r.path); err != nil {
		return err
	}
	defer r.storage.running.leave(r.path, false)
	lock := filepath.Join(r.path, "HEAD.lock")
	f, err := createLock(ctx, lock)
	if err != nil {
		return err
	}
	moved := false
	defer func() {
		if !moved {
			err = errors.Join(err, os.Remove(lock))
		}
	}()
	content := "ref: " + ref + "\n"
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return r.around(ctx, vote.Of([]byte("HEAD "+content)), func() error {
		err := os.Rename(lock, filepath.Join(r.path, "HEAD"))
		moved = err == nil
		return err
	})
}

// createLock makes a lock file where none is.
func createLock(ctx context.Context, path string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, headLockWait)
	defer cancel()
	poll := time.NewTicker(headLockPoll)
	defer poll.Stop()
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, err
		}
	}
}
