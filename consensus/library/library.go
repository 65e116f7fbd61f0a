package library

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm"
	"praefect/fsm/state"
)

// Library runs the Raft library on the log of this instance, knows which instance leads, and waits for
// answers.
type Library struct {
	config setup.Config
	disk   *store.Disk
	fsm    *fsm.FSM
	former formerMembers
	leads  leadership

	// Transport and Clients are the way to peers; nil alone. They are set before Prepare.
	Transport *peer.Transport
	Clients   *peer.Clients

	// The arguments of the library's start, and the library once it runs.
	settings *raft.Config
	network  raft.Transport
	running  atomic.Pointer[raft.Raft]
	// attempts counts the goroutines that wait for the library.
	attempts sync.WaitGroup
	applied  chan struct{} // holds 1: entries were applied
	affirms  affirming
}

// New makes a library that does not run yet; entries are applied to f.
func New(c setup.Config, d *store.Disk, f *fsm.FSM) *Library {
	return &Library{config: c, disk: d, fsm: f, leads: newLeadership(), applied: make(chan struct{}, 1)}
}

// Prepare makes the parts that the library needs, and starts it if the log was begun.
// Otherwise BeginWith or BeginEmpty does, once this instance has come to a cluster.
func (l *Library) Prepare() (err error) {
	defer store.RecoverAs(&err)
	if l.settings, err = settings(l.config, l.disk.ID); err != nil {
		return err
	}
	l.network = l.newNetwork()
	begun, err := l.disk.Begun()
	if err != nil {
		return err
	}
	if !begun {
		return nil
	}
	return l.start()
}

// BeginWith makes the log of a new cluster with these members, and starts the library.
func (l *Library) BeginWith(members raft.Configuration) error {
	if err := l.disk.BeginWith(l.settings, l.network, members); err != nil {
		return err
	}
	return l.start()
}

// BeginEmpty makes the log ready for the entries of a cluster that is there, and starts the library.
func (l *Library) BeginEmpty() error {
	if err := l.disk.BeginEmpty(); err != nil {
		return err
	}
	return l.start()
}

// LocalAddr is the address that a cluster of one knows this instance by.
func (l *Library) LocalAddr() string { return string(l.network.LocalAddr()) }

// View returns the latest state that this instance has applied.
func (l *Library) View() *state.State { return l.fsm.View() }

// newNetwork returns the library's way to peers. Alone an instance needs none;
// its address changes when it gets one.
func (l *Library) newNetwork() raft.Transport {
	if l.Transport == nil {
		_, alone := raft.NewInmemTransport(raft.ServerAddress(l.disk.ID))
		return alone
	}
	timeout := max(2*l.settings.HeartbeatTimeout, minCallTimeout)
	return l.Transport.NewRaftTransport(timeout, heartbeat(l.settings.HeartbeatTimeout), l.config.LibraryLog())
}

// heartbeat is the time between two heartbeats to a follower that gives its leader up after the
// timeout: three fit in, so that one may be lost and the next one late.
func heartbeat(timeout time.Duration) time.Duration { return timeout * 3 / 10 }

// Applied gets a message after entries were applied: one for any number of them. It has one reader.
func (l *Library) Applied() <-chan struct{} { return l.applied }

// tellCommit tells the followers, if this instance leads, that the log is committed up to
// index, which was applied here.
func (l *Library) tellCommit(index uint64) {
	select {
	case l.applied <- struct{}{}:
	default:
	}
	network, ok := l.network.(*peer.RaftTransport)
	if r := l.Raft(); ok && r != nil {
		network.Committed(index, r.CurrentTerm())
	}
}

// minCallTimeout bounds the library's calls to peers from below.
const minCallTimeout = 500 * time.Millisecond

// start starts the library on the stores of the disk.
func (l *Library) start() (err error) {
	defer store.RecoverAs(&err)
	l.former.own = l.disk.ID
	if snapshots, err := l.disk.Snapshots.List(); err == nil && len(snapshots) > 0 { // otherwise the library complains
		l.former.committed(snapshots[0].Configuration.Servers)
	}
	r, err := raft.NewRaft(l.settings, machine{l.fsm, &l.former, l.tellCommit}, l.disk.Logs, l.disk.Stable, l.disk.Snapshots, l.network)
	if err != nil {
		return cmp.Or(l.fsm.Err(), err) // the library does not name the fault of a snapshot
	}
	l.running.Store(r)
	l.disk.Guard.Arm()
	if l.Transport == nil {
		return l.standsAlone(r)
	}
	return nil
}

// standsAlone finds an instance of a larger cluster whose settings lost the way
// to the others: it would wait for them permanently.
func (l *Library) standsAlone(r *raft.Raft) error {
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return err
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) != l.disk.ID {
			return fmt.Errorf("it belongs to a cluster of several instances, one at %s: raft.listen_addr and raft.peer are missing", s.Address)
		}
	}
	return nil
}

// ErrNoState is why there is nothing to ask the library for.
var ErrNoState = errors.New("this instance belongs to no cluster yet")

// Raft returns the library, nil before this instance has come to a cluster.
func (l *Library) Raft() *raft.Raft { return l.running.Load() }

// Configuration returns the latest members and the index of that entry of the
// log; it may not be committed yet.
func (l *Library) Configuration() ([]raft.Server, uint64, error) {
	r := l.Raft()
	if r == nil {
		return nil, 0, ErrNoState
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, err
	}
	return f.Configuration().Servers, f.Index(), nil
}

// Shutdown stops the library, or the transport that was made for it, and waits for all attempts.
func (l *Library) Shutdown() {
	if r := l.Raft(); r != nil {
		_ = r.Shutdown().Error() // the library returns none
	} else if t, ok := l.network.(raft.WithClose); ok {
		_ = t.Close() // the library's transport returns none
	}
	l.Wait()
}

// Wait returns once no goroutine waits for an answer of the library.
func (l *Library) Wait() { l.attempts.Wait() }
