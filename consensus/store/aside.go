package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// RecoverCommand is the command that an operator runs when the quorum is lost permanently.
const RecoverCommand = "praefect -config FILE raft recover"

// RejoinCommand is how an instance of one cluster is made to join another one.
const RejoinCommand = "praefect -config FILE raft rejoin"

// RenameCommand is how the data directory of an instance is given to the same instance under
// another name.
const RenameCommand = "praefect -config FILE raft rename"

// Directory describes a data directory while no process has it.
type Directory struct {
	// Path is where it is.
	Path string
	// ID and Name belong to the instance that owns it; Name is empty if none was given.
	ID, Name string
	// ClusterID is the cluster that it belongs to, empty if none is known.
	ClusterID string
	// Begun tells that it holds a log.
	Begun bool
}

// offlineWait is how long commands beside the daemon wait for one that is being stopped.
const offlineWait = 2 * time.Second

// offline does something with a data directory that no process has.
func offline(ctx context.Context, dir string, do func(Identity) error) (err error) {
	if _, err := os.Stat(filepath.Join(dir, IdentityFile)); err != nil {
		return fmt.Errorf("raft.data_dir %q holds no state of an instance: %w", dir, err)
	}
	lock, err := lockDir(ctx, dir, offlineWait)
	if err != nil {
		return fmt.Errorf("raft.data_dir %q: %w: stop praefect first", dir, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	id, err := readIdentity(dir)
	if err == nil {
		err = do(id)
	}
	if err != nil {
		return fmt.Errorf("raft.data_dir %q: %w", dir, err)
	}
	return nil
}

// Inspect describes a data directory. It changes nothing, and is refused while a
// process has the directory.
func Inspect(ctx context.Context, dir string) (Directory, error) {
	var found Directory
	err := offline(ctx, dir, func(id Identity) error {
		found = Directory{Path: dir, ID: id.ID, Name: id.Name, ClusterID: id.ClusterID, Begun: id.Bootstrapped}
		return nil
	})
	return found, err
}

// SetAside moves the state of an instance into a directory of its own beside it, and returns where
// that is: at its next start the instance has none, and joins the cluster of its peers or begins one
// with them. Nothing is removed. A second call goes on where one has died.
func SetAside(ctx context.Context, dir string, now time.Time) (aside string, err error) {
	err = offline(ctx, dir, func(id Identity) error {
		aside = asidePath(dir, id.ClusterID, now)
		if err := os.Mkdir(aside, 0o700); err != nil {
			return err
		}
		// The identity goes last: an instance whose identity says that there was a log does not start without it.
		// The directory that an interrupted recovery prepared goes first: its content would replace
		// the state that is joined then.
		for _, name := range []string{recoveringDir, committedFile, lostClaimsFile, LogFile, "snapshots", IdentityFile} {
			if err := move(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
				return err
			}
			if err := errors.Join(syncDir(aside), syncDir(dir)); err != nil {
				return err
			}
		}
		return nil
	})
	return aside, err
}

// Rename gives the data directory to the same instance under another name, and returns the former
// one.
func Rename(ctx context.Context, dir, name string) (before string, err error) {
	err = offline(ctx, dir, func(id Identity) error {
		if interrupted(dir) { // the prepared directory has the former name
			return fmt.Errorf("a recovery was interrupted: run %s again", RecoverCommand)
		}
		before = id.Name
		id.Name = name
		return id.write(dir)
	})
	return before, err
}
