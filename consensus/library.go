package consensus

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
)

// prepare makes the parts that the library needs, and starts it if the log was begun.
// Otherwise Run does, once this instance has come to a cluster.
func (n *Node) prepare() (err error) {
	defer store.RecoverAs(&err)
	if n.settings, err = librarySettings(n.config, n.disk.ID); err != nil {
		return err
	}
	n.network = n.newNetwork()
	begun, err := n.disk.Begun()
	if err != nil {
		return err
	}
	if !begun {
		return nil
	}
	return n.startLibrary()
}

// newNetwork returns the library's way to peers. Alone an instance needs none;
// its address changes when it gets one.
func (n *Node) newNetwork() raft.Transport {
	if n.transport == nil {
		_, alone := raft.NewInmemTransport(raft.ServerAddress(n.disk.ID))
		return alone
	}
	timeout := max(2*n.settings.HeartbeatTimeout, minCallTimeout)
	return n.transport.NewRaftTransport(timeout, heartbeat(n.settings.HeartbeatTimeout), n.config.LibraryLog())
}

// heartbeat is the time between two heartbeats to a follower that gives its leader up after the
// timeout: three fit in, so that one may be lost and the next one late.
func heartbeat(timeout time.Duration) time.Duration { return timeout * 3 / 10 }

// tellCommit tells the followers, if this instance leads, that the log is committed up to
// index.
func (n *Node) tellCommit(index uint64) {
	network, ok := n.network.(*peer.RaftTransport)
	if r := n.raft(); ok && r != nil {
		network.Committed(index, r.CurrentTerm())
	}
}

// minCallTimeout bounds the library's calls to peers from below.
const minCallTimeout = 500 * time.Millisecond

// startLibrary starts the library on the stores of the disk.
func (n *Node) startLibrary() (err error) {
	defer store.RecoverAs(&err)
	n.former.own = n.disk.ID
	if snapshots, err := n.disk.Snapshots.List(); err == nil && len(snapshots) > 0 { // otherwise the library complains
		n.former.committed(snapshots[0].Configuration.Servers)
	}
	r, err := raft.NewRaft(n.settings, machine{n.fsm, &n.former, n.tellCommit}, n.disk.Logs, n.disk.Stable, n.disk.Snapshots, n.network)
	if err != nil {
		return cmp.Or(n.fsm.Err(), err) // the library does not name the fault of a snapshot
	}
	n.library.Store(r)
	n.disk.Guard.Arm()
	if n.transport == nil {
		return n.standsAlone(r)
	}
	return nil
}

// standsAlone finds an instance of a larger cluster whose settings lost the way
// to the others: it would wait for them for ever.
func (n *Node) standsAlone(r *raft.Raft) error {
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return err
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) != n.disk.ID {
			return fmt.Errorf("it belongs to a cluster of several instances, one at %s: raft.listen_addr and raft.peer are missing", s.Address)
		}
	}
	return nil
}

// errNoState is why there is nothing to ask the library for.
var errNoState = errors.New("this instance belongs to no cluster yet")

// raft returns the library, nil before this instance has come to a cluster.
func (n *Node) raft() *raft.Raft { return n.library.Load() }

// configuration returns the latest members and the index of that entry of the
// log; it may not be committed yet.
func (n *Node) configuration() ([]raft.Server, uint64, error) {
	r := n.raft()
	if r == nil {
		return nil, 0, errNoState
	}
	f := r.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, 0, err
	}
	return f.Configuration().Servers, f.Index(), nil
}

// librarySettings returns the library's settings.
func librarySettings(c setup.Config, id string) (*raft.Config, error) {
	timeout, err := c.Profile.Timeout()
	if err != nil {
		return nil, err
	}
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(id)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = timeout, timeout, timeout
	// Followers learn of a commit from peer.RaftTransport.Committed. The library's own way
	// costs a message to each follower every 1 to 2 times this, whether anything happens or not.
	rc.CommitTimeout = 200 * time.Millisecond
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	rc.LogLevel = "INFO"
	rc.LogOutput = c.LibraryLog()
	// A follower that was away for less than this needs no snapshot, whose
	// installation is the library's weakest part.
	rc.TrailingLogs = 100_000
	// Marks make the log grow with the load, so that the time of a restart is
	// bounded by this interval (the library takes once to twice of it).
	rc.SnapshotThreshold = 4096
	rc.SnapshotInterval = time.Minute
	if c.Fakes.Tune != nil {
		c.Fakes.Tune(rc)
	}
	return rc, nil
}
