package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/setup"
	"praefect/fsm/state"
)

const (
	// recoveringDir is where a recovery prepares the new content of the data directory, and
	// completeFile in it says that it is whole.
	recoveringDir = "recovering"
	completeFile  = "complete"
)

// Prepare writes the directory's new content beside the present one, for a recovery: a log that is
// empty behind a snapshot of s at that index and term, whose only member is the instance, at address.
func (d *Disk) Prepare(id Identity, s *state.State, index, term uint64, address string) error {
	dir := filepath.Join(d.config.DataDir, recoveringDir)
	if err := os.RemoveAll(dir); err != nil { // left by a recovery that was not complete
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	log, err := openBolt(filepath.Join(dir, LogFile))
	if err != nil {
		return err
	}
	err = errors.Join(log.SetUint64([]byte(keyTerm), term), log.SetUint64([]byte(keyBegun), 1))
	if err = errors.Join(err, log.Close()); err != nil {
		return err
	}
	if err := d.writeSnapshot(dir, id, s, index, term, address); err != nil {
		return err
	}
	if err := id.write(dir); err != nil {
		return err
	}
	complete, err := os.Create(filepath.Join(dir, completeFile))
	if err != nil {
		return err
	}
	return errors.Join(complete.Sync(), complete.Close(), syncDir(dir), syncDir(d.config.DataDir))
}

// writeSnapshot writes the state as the snapshot that the library begins with; its only
// member is this instance.
func (d *Disk) writeSnapshot(dir string, id Identity, s *state.State, index, term uint64, address string) error {
	snapshots, err := raft.NewFileSnapshotStore(dir, keepOld, d.config.LibraryLog())
	if err != nil {
		return err
	}
	_, alone := raft.NewInmemTransport(raft.ServerAddress(id.ID))
	members := raft.Configuration{Servers: []raft.Server{{ID: raft.ServerID(id.ID), Address: raft.ServerAddress(address)}}}
	sink, err := snapshots.Create(raft.SnapshotVersionMax, index, term, members, index, alone)
	if err != nil {
		return err
	}
	if err := s.WriteSnapshot(sink); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// SwapIn closes the log and puts the content that Prepare has written in place. It returns where the
// former content is kept.
func (d *Disk) SwapIn(now time.Time) (aside string, err error) {
	err = d.store.Close()
	d.store = nil
	if err != nil {
		return "", fmt.Errorf("close %s: %w", LogFile, err)
	}
	return swapIn(d.config.DataDir, d.Known().ClusterID, now)
}

// contents are the files that a recovery replaces in a data directory. The identity goes last: an
// instance does not start on a directory without it that has a log.
var contents = []string{committedFile, LogFile, "snapshots", IdentityFile}

// swapIn sets the content of the directory aside and puts the content that a recovery has prepared
// in its place. It may be called again if it died.
func swapIn(dir, cluster string, now time.Time) (aside string, err error) {
	aside = asidePath(dir, cluster, now)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return aside, err
	}
	recovering := filepath.Join(dir, recoveringDir)
	for _, name := range contents {
		if _, err := os.Stat(filepath.Join(recovering, name)); errors.Is(err, os.ErrNotExist) && name != committedFile {
			continue // it has its place already
		}
		if err := move(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil {
			return aside, err
		}
		if err := move(filepath.Join(recovering, name), filepath.Join(dir, name)); err != nil {
			return aside, err
		}
		if err := errors.Join(syncDir(aside), syncDir(recovering), syncDir(dir)); err != nil {
			return aside, err
		}
	}
	return aside, errors.Join(os.RemoveAll(recovering), syncDir(dir))
}

// asidePath is where the content of a directory, of that cluster, is set aside.
func asidePath(dir, cluster string, now time.Time) string {
	return filepath.Join(dir, fmt.Sprintf("aside-%s-%s", cmp.Or(cluster, "none"), now.UTC().Format("20060102T150405.000Z")))
}

// move renames a file, if it is there.
func move(from, to string) error {
	if err := os.Rename(from, to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// interrupted tells whether a recovery of the directory died after it was prepared.
func interrupted(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, recoveringDir, completeFile))
	return err == nil
}

// FinishRecovery finishes a recovery that died.
func FinishRecovery(ctx context.Context, c setup.Config) (err error) {
	if !interrupted(c.DataDir) {
		return nil
	}
	lock, err := lockDir(ctx, c.DataDir, c.LockTimeout)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	_, err = swapIn(c.DataDir, "interrupted", time.Now())
	return err
}
