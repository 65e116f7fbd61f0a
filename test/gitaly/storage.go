package gitaly

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

const (
	// lockWait bounds the wait for the git processes of a killed predecessor.
	lockWait = 30 * time.Second
	lockPoll = 20 * time.Millisecond

	metadataFile = ".gitaly-metadata"
)

// storage is one directory of repositories.
type storage struct {
	name string
	dir  string

	// lock is held from open to close, and inherited by every git process of
	// the storage: while any of them lives, no other server opens the directory.
	lock *os.File

	running running
	locks   vote.Locks
	voter   voter
}

// open makes the directory ready for use by this process alone. The unfinished work of
// a killed predecessor is removed.
func (s *storage) open(ctx context.Context) error {
	if err := os.MkdirAll(s.temp(), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, wire.DataPrefix, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if err := acquire(ctx, lock); err != nil {
		return errors.Join(err, lock.Close())
	}
	s.lock = lock
	if err := s.sweep(); err != nil {
		return fmt.Errorf("remove leftovers: %w", err)
	}
	return s.writeMetadata()
}

func (s *storage) close() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// acquire takes the lock, waiting for the git processes of a killed
// predecessor to end: they hold it too.
func acquire(ctx context.Context, lock *os.File) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	poll := time.NewTicker(lockPoll)
	defer poll.Stop()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("directory is in use by another process: %w", ctx.Err())
		case <-poll.C:
		}
	}
}

// temp is where repositories are built before, and go after, their time.
func (s *storage) temp() string {
	return filepath.Join(s.dir, wire.DataPrefix, "tmp")
}

// tempDir makes a directory for one call, which removes it.
func (s *storage) tempDir() (string, error) {
	if faults, err := s.faults(); err != nil || vote.Fills(faults, "") {
		return "", errors.Join(err, &fs.PathError{Op: "mkdir", Path: s.temp(), Err: unix.ENOSPC})
	}
	return s.ownTempDir()
}

// ownTempDir is tempDir for the files that Gitaly keeps beside its storages.
func (s *storage) ownTempDir() (string, error) {
	// Made anew each time, so that a storage whose directory was emptied under
	// it serves on. One whose directory is gone must not: a disk that is not
	// mounted is no empty disk.
	for _, dir := range []string{filepath.Dir(s.temp()), s.temp()} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", err
		}
	}
	return os.MkdirTemp(s.temp(), "")
}

// inTemp calls use with a directory of its own and removes that afterwards.
func (s *storage) inTemp(use func(dir string) error) error { return within(s.tempDir, use) }

func within(makeDir func() (string, error), use func(dir string) error) error {
	dir, err := makeDir()
	if err != nil {
		return err
	}
	err = use(dir)
	if removeErr := os.RemoveAll(dir); err == nil && removeErr != nil {
		return fmt.Errorf("remove temporary directory: %w", removeErr)
	}
	return err
}

// metadata is the content of the file of that name, in Gitaly's format.
type metadata struct {
	FilesystemID string `json:"gitaly_filesystem_id"`
}

// writeMetadata gives the directory its id at its first start.
func (s *storage) writeMetadata() error {
	id, err := s.filesystemID()
	if err == nil && id != "" {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	raw, err := json.Marshal(metadata{FilesystemID: newUUID()})
	if err != nil {
		return fmt.Errorf("encode metadata: %w", err)
	}
	// Renamed into place: a half-written id would be taken for another disk.
	draft := filepath.Join(s.temp(), "metadata")
	if err := os.WriteFile(draft, raw, 0o644); err != nil {
		return err
	}
	return os.Rename(draft, filepath.Join(s.dir, metadataFile))
}

// filesystemID reads the id each time: the directory may have been replaced.
func (s *storage) filesystemID() (string, error) {
	raw, err := os.ReadFile(filepath.Join(s.dir, metadataFile))
	if err != nil {
		return "", err
	}
	var m metadata
	if err := json.Unmarshal(raw, &m); err != nil {
		return "", fmt.Errorf("decode %q: %w", metadataFile, err)
	}
	return m.FilesystemID, nil
}

// newUUID returns a random (version 4) UUID.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: it ends the program rather than return an error
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
