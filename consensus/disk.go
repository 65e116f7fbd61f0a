package consensus

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"praefect/consensus/setup"
)

const (
	lockFile    = "lock"
	logFile     = "raft.db"
	keepOld     = 3 // snapshots
	pollForLock = 50 * time.Millisecond

	remedy = "restore it, or let the instance begin anew in an empty directory"
)

// disk is the data directory, locked, with the files that are open in it.
type disk struct {
	dir       string
	id        string // the instance's, for ever
	store     setup.LogStore
	snapshots raft.SnapshotStore
	lock      *os.File
	size      *logSize // of the log

	mu       sync.Mutex
	identity identity // as it is kept in the directory
}

// known returns the identity that the directory has.
func (d *disk) known() identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity
}

// note changes the identity in the directory; after an error the former one stands.
func (d *disk) note(change func(*identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.identity
	change(&next)
	if reflect.DeepEqual(next, d.identity) {
		return nil
	}
	if err := next.write(d.dir); err != nil {
		return fmt.Errorf("write %s: %w", identityFile, err)
	}
	d.identity = next
	return nil
}

// openDisk locks the directory and opens the stores in it. It changes nothing in
// a directory that it does not understand.
func openDisk(ctx context.Context, c setup.Config) (_ *disk, err error) {
	d := &disk{dir: c.DataDir, size: newLogSize(c.Fakes.LogBytes)}
	defer func() {
		if err != nil {
			err = fmt.Errorf("raft.data_dir %q: %w", c.DataDir, errors.Join(err, d.close()))
		}
	}()
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	if d.lock, err = lockDir(ctx, c.DataDir, c.LockTimeout); err != nil {
		return nil, err
	}
	if interrupted(c.DataDir) {
		return nil, fmt.Errorf("a recovery was interrupted: run %s again", RecoverCommand)
	}
	if d.identity, err = readIdentity(c.DataDir); err != nil {
		return nil, err
	}
	d.id = d.identity.ID
	if err := d.identity.ownedBy(c); err != nil {
		return nil, err
	}
	if c.Fakes.OpenStores != nil {
		d.store, d.snapshots = c.Fakes.OpenStores()
		d.store = c.Fakes.WrapStore(d.store)
	} else if err := d.openStore(c.Fakes.WrapStore); err != nil {
		return nil, err
	} else if d.snapshots, err = raft.NewFileSnapshotStore(c.DataDir, keepOld, &libraryLog{to: c.Logger}); err != nil {
		return nil, err
	}
	if !c.Named {
		return d, nil
	}
	return d, d.note(func(id *identity) { id.Name = c.Name })
}

// lockDir waits for a process that still has the directory, such as the former
// one that is being stopped. The lock goes with the process, however it ends.
func lockDir(ctx context.Context, dir string, timeout time.Duration) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("another process has had it for %v", timeout))
	defer cancel()
	poll := time.NewTicker(pollForLock)
	defer poll.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("locked: %w", context.Cause(ctx)), f.Close())
		}
	}
}

func (d *disk) openStore(wrap func(setup.LogStore) setup.LogStore) error {
	path := filepath.Join(d.dir, logFile)
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch begun := err == nil && info.Size() > 0; {
	case !begun && d.identity.Bootstrapped:
		return fmt.Errorf("%s is missing or empty: %s", logFile, remedy)
	case begun:
		if err := verifyBolt(path, d.size.add); err != nil {
			return fmt.Errorf("%s is damaged: %w: %s", logFile, err, remedy)
		}
	}
	s, err := openBolt(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", logFile, err)
	}
	d.store = wrap(s)
	return syncDir(d.dir)
}

// close closes all that is open; the lock goes last.
func (d *disk) close() error {
	var err error
	if d.store != nil {
		err = d.store.Close()
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}
