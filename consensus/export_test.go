package consensus

import (
	"context"
	"net"

	"github.com/hashicorp/raft"

	"praefect/consensus/peer"
)

// Store is what an instance keeps its log in.
type Store = store

// Memory is what an instance has instead of sockets and of files for its log.
type Memory struct {
	Dial   func(ctx context.Context, addr string) (net.Conn, error)
	Listen func(ctx context.Context, addr string) (peer.Listener, error)
	Stores func() (Store, raft.SnapshotStore)
	// Trailing is how many entries stay in the log behind a snapshot.
	Trailing uint64
}

// In returns the config with that.
func (c Config) In(m Memory) Config {
	c.dial, c.listen, c.openStores = m.Dial, m.Listen, m.Stores
	c.tune = func(rc *raft.Config) { rc.TrailingLogs = m.Trailing }
	return c
}

// Snapshot takes one now, and cuts the log behind it; it returns where that begins.
func (n *Node) Snapshot() (first uint64, err error) {
	if err := n.raft().Snapshot().Error(); err != nil {
		return 0, err
	}
	return n.stores.logs.FirstIndex()
}

// Unlock is what the end of the process does to the data directory, should a disk
// that hangs keep it from being closed.
func (n *Node) Unlock() { _ = n.disk.lock.Close() } // it may be closed

// Crash ends the instance as the end of its process would: Run returns, nothing is
// said, nothing handed over.
func (n *Node) Crash() { n.guard.fail(errCrash) }
