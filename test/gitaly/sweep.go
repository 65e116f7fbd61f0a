package gitaly

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// sweep removes the leftovers of a killed predecessor: temporary directories, and in
// every repository the locks and quarantines of its git processes. None of ours runs now.
func (s *storage) sweep() error {
	left, err := os.ReadDir(s.temp())
	if err != nil {
		return err
	}
	for _, entry := range left {
		if err := os.RemoveAll(filepath.Join(s.temp(), entry.Name())); err != nil {
			return err
		}
	}
	return s.walk(func(relative string, _ fs.FileInfo) error {
		path := filepath.Join(s.dir, relative)
		if err := removeLocks(path); err != nil {
			return err
		}
		return removeQuarantines(filepath.Join(path, "objects"))
	})
}

// removeLocks removes lock files: each would fail every later write of the file that it
// locks.
func removeLocks(repository string) error { return removeLocksOlder(repository, -time.Hour) }

// staleLock is how old a lock file is that housekeeping removes, as in Gitaly: git
// holds none for so long.
const staleLock = time.Hour

// removeLocksOlder removes the lock files that have been there for so long.
func removeLocksOlder(repository string, age time.Duration) error {
	return filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has just gone
			return nil
		case err != nil:
			return err
		case entry.IsDir() && path == filepath.Join(repository, "objects"):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(path, ".lock"):
			return nil
		}
		info, err := entry.Info()
		if err == nil && time.Since(info.ModTime()) >= age { // else it is of a git that runs
			err = os.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) { // it has just gone
			return nil
		}
		return err
	})
}

// removeQuarantines removes the objects of pushes that were cut off: git keeps
// them apart until a push is accepted, and leaves them when it is signalled.
func removeQuarantines(objects string) error {
	entries, err := os.ReadDir(objects)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "tmp_objdir-") {
			if err := os.RemoveAll(filepath.Join(objects, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
