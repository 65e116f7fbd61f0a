package gitaly

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// sweep removes what a killed predecessor left: temporary directories, and in
// every repository what its git processes had in hand. None of ours runs now.
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

// removeLocks removes lock files: each would fail every later write of what it
// locks.
func removeLocks(repository string) error {
	return filepath.WalkDir(repository, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == filepath.Join(repository, "objects"):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, ".lock"):
			return os.Remove(path)
		}
		return nil
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
