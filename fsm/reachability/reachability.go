// Package reachability has the facts about the ways to the storages. The connections of an instance find them;
// the session reports the health of each storage by them to the leader, and operators and conditions show them.
package reachability

import (
	"errors"
	"time"
)

// Observation has the facts that one instance knows about its way to one storage at one moment.
type Observation struct {
	VirtualStorage, Storage, Address string
	// Reachable tells that there is a verified connection.
	Reachable bool
	// Err is why there is none; for a reachable storage, why the last health
	// check was not well (the storage is slow), or nil.
	Err error
	// Refused tells that no server listens there: the last attempt to connect,
	// which is made at once when a connection is lost, was refused or reset.
	Refused bool
	// Silent tells that the storage is not reachable and was not heard for too long.
	Silent bool
	// Stalled tells that a reachable storage says nothing at all, but its host answers.
	Stalled bool
	// Since is when Reachable last changed; zero if the storage was never
	// reached.
	Since time.Time
	// FilesystemID (the disk), ServerVersion and GitVersion are the values of the current
	// connection, or of the last one; empty if the storage was never reached.
	FilesystemID, ServerVersion, GitVersion string
	// Agreed is the disk that the replicated state speaks of, empty if it does
	// not know one yet. The session knows it, the connections do not.
	Agreed string
	// Backchannel tells that the current connection, or the last one, had a
	// backchannel: that writes to the storage can be voted on.
	Backchannel bool
	// Generation names the current connection, 0 if there is none; every connection has its own.
	Generation uint64
	// Outstanding is the number of RPCs under way on the current connection.
	Outstanding int64
	// InUse tells that an RPC is or was under way on the current connection lately, health checks not
	// counted, or that the connection is new.
	InUse bool
	// Latency is how long the last health check took, 0 if there was none.
	Latency time.Duration
}

// Slow reports whether the storage is reachable but fails its health checks.
func (o Observation) Slow() bool { return o.Reachable && o.Err != nil }

// Release is the version that the storage runs, or ran when it was last reached; empty if it never was.
func (o Observation) Release() string { return Release(o.ServerVersion, o.GitVersion) }

// Release is the version of a storage, for people and for comparing: the hash that a storage votes on follows
// from both programs. It is empty if neither is known.
func Release(serverVersion, gitVersion string) string {
	switch {
	case gitVersion == "":
		return serverVersion
	case serverVersion == "":
		return "git " + gitVersion
	}
	return serverVersion + " with git " + gitVersion
}

var errOtherDisk = errors.New("the server has another disk than the one agreed on")

// WithDisk returns the observation for a storage that is agreed to have this disk, "" if none is agreed on
// yet. One with another disk cannot be used, even if a server answers there.
func (o Observation) WithDisk(agreed string) Observation {
	if o.Reachable && agreed != "" && o.FilesystemID != agreed {
		o.Reachable, o.Err = false, errOtherDisk
	}
	return o
}
