package store

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
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"praefect/consensus/setup"
)

// LogFile has the log and the values beside it.
const LogFile = "raft.db"

const (
	lockFile      = "lock"
	keepOld       = 3 // snapshots
	cachedEntries = 512
	pollForLock   = 50 * time.Millisecond

	remedy = "restore it, or let the instance begin anew in an empty directory"
)

// Disk is the data directory, locked, with the files that are open in it.
type Disk struct {
	// ID is the instance's, permanently.
	ID string
	// Logs, Stable and Snapshots are for the library: its log, its values beside the log, its
	// snapshots. Calls to the first two are guarded and measured.
	Logs      raft.LogStore
	Stable    raft.StableStore
	Snapshots raft.SnapshotStore
	// Guard notices a disk that errs or hangs.
	Guard *Guard

	config  setup.Config
	lock    *os.File
	store   setup.LogStore
	size    *logSize // of the log
	seconds *prometheus.HistogramVec

	mu       sync.Mutex
	identity Identity // as it is kept in the directory
}

// Known returns the identity that the directory has.
func (d *Disk) Known() Identity {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.identity
}

// Note changes the identity in the directory; after an error the former one stands.
func (d *Disk) Note(change func(*Identity)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.identity
	change(&next)
	if reflect.DeepEqual(next, d.identity) {
		return nil
	}
	if err := next.write(d.config.DataDir); err != nil {
		return fmt.Errorf("write %s: %w", IdentityFile, err)
	}
	d.identity = next
	return nil
}

// Open locks the directory and opens the stores in it. It changes nothing in
// a directory that it does not understand.
func Open(ctx context.Context, c setup.Config) (_ *Disk, err error) {
	d := &Disk{config: c, Guard: newGuard(c.StoreTimeout), size: newLogSize(c.Fakes.LogBytes), seconds: newSeconds()}
	defer func() {
		if err != nil {
			err = fmt.Errorf("raft.data_dir %q: %w", c.DataDir, errors.Join(err, d.Close()))
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
	d.ID = d.identity.ID
	if err := d.identity.ownedBy(c); err != nil {
		return nil, err
	}
	if c.Fakes.OpenStores != nil {
		d.store, d.Snapshots = c.Fakes.OpenStores()
		d.store = c.Fakes.WrapStore(d.store)
	} else if err := d.openStore(c.Fakes.WrapStore); err != nil {
		return nil, err
	} else if d.Snapshots, err = raft.NewFileSnapshotStore(c.DataDir, keepOld, c.LibraryLog()); err != nil {
		return nil, err
	}
	guarded := &guardedStore{store: d.store, guard: d.Guard, size: d.size, seconds: d.seconds}
	d.Stable = &stableStore{guardedStore: guarded}
	if d.Logs, err = raft.NewLogCache(cachedEntries, &joinedLog{guardedStore: guarded, snapshots: d.Snapshots}); err != nil {
		return nil, err
	}
	if !c.Named {
		return d, nil
	}
	return d, d.Note(func(id *Identity) { id.Name = c.Name })
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

func (d *Disk) openStore(wrap func(setup.LogStore) setup.LogStore) error {
	path := filepath.Join(d.config.DataDir, LogFile)
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	switch begun := err == nil && info.Size() > 0; {
	case !begun && d.identity.Bootstrapped:
		return fmt.Errorf("%s is missing or empty: %s", LogFile, remedy)
	case begun:
		if err := verifyBolt(path, d.size.add); err != nil {
			return fmt.Errorf("%s is damaged: %w: %s", LogFile, err, remedy)
		}
	}
	s, err := openBolt(path)
	if err != nil {
		return fmt.Errorf("open %s: %w", LogFile, err)
	}
	d.store = wrap(s)
	return syncDir(d.config.DataDir)
}

// Close closes all that is open; the lock goes last.
func (d *Disk) Close() error {
	var err error
	if d.store != nil {
		err = d.store.Close()
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Close())
	}
	return err
}
