package library

import (
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/setup"
)

// settings returns the library's settings.
func settings(c setup.Config, id string) (*raft.Config, error) {
	timeout, err := c.Profile.Timeout()
	if err != nil {
		return nil, err
	}
	rc := raft.DefaultConfig()
	rc.LocalID = raft.ServerID(id)
	rc.HeartbeatTimeout, rc.ElectionTimeout, rc.LeaderLeaseTimeout = timeout, timeout, timeout
	// Followers learn of a commit from peer.RaftTransport.Committed. The library's own way
	// costs a message to each follower every 1 to 2 times this, whether anything happens or not. It
	// is also how soon a follower that was away gets what it misses, if nothing happens meanwhile.
	rc.CommitTimeout = 500 * time.Millisecond
	rc.ShutdownOnRemove = false
	rc.NoLegacyTelemetry = true
	rc.LogLevel = "INFO"
	rc.LogOutput = c.LibraryLog()
	// A follower that was away for less than this needs no snapshot, whose
	// installation is the library's weakest part.
	rc.TrailingLogs = 100_000
	// Intents make the log grow with the load, so that the time of a restart is
	// bounded by this interval (the library takes once to twice of it).
	rc.SnapshotThreshold = 4096
	rc.SnapshotInterval = time.Minute
	if c.Fakes.Tune != nil {
		c.Fakes.Tune(rc)
	}
	return rc, nil
}
