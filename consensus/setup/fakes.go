package setup

import (
	"context"
	"io"
	"net"

	"github.com/hashicorp/raft"

	"praefect/consensus/peer"
)

// LogStore is the part of raft-boltdb that is used: the log and a few values beside it.
type LogStore interface {
	raft.LogStore
	raft.StableStore
	io.Closer
}

// Fakes stand for the disk, the network and the library's timing in tests. A nil or zero field is
// the real thing.
type Fakes struct {
	// WrapStore puts faults below everything of ours.
	WrapStore func(LogStore) LogStore
	// OpenStores, Dial and Listen keep disk and network in memory.
	OpenStores func() (LogStore, raft.SnapshotStore)
	Dial       func(ctx context.Context, addr string) (net.Conn, error)
	Listen     func(ctx context.Context, addr string) (peer.Listener, error)
	// Tune changes the settings of the library.
	Tune func(*raft.Config)
	// LogBytes bounds the entries of the log in bytes.
	LogBytes int64
}

// logBytes bounds the entries of the log in bytes: beyond that the log is cut, even if it has fewer
// entries than a follower that was away should find. bbolt never shrinks its file but uses its free
// pages again, so that this bounds the file, too.
const logBytes = 256 << 20
