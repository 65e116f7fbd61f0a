package consensus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/raft"
	"github.com/prometheus/client_golang/prometheus"

	"praefect/consensus/lease"
	"praefect/consensus/peer"
)

// Profile names a set of timings, the same at every instance of a cluster.
type Profile string

// The profiles. A leader that dies is replaced after about twice the timeout,
// three times at worst; shorter ones elect needlessly when the CPU is short.
const (
	Fast     Profile = "fast"     // 200 ms, the default
	Cautious Profile = "cautious" // 300 ms
)

// timeout is the heartbeat, election and leader-lease timeout: the library's
// lease authorises nothing here, so that a shorter one would only add elections.
func (p Profile) timeout() (time.Duration, error) {
	switch p {
	case Fast:
		return 200 * time.Millisecond, nil
	case Cautious:
		return 300 * time.Millisecond, nil
	}
	return 0, fmt.Errorf("no profile %q: %q or %q", p, Fast, Cautious)
}

// Peer is another instance of the cluster, as the operator lists it.
type Peer struct {
	// Name is its label, unique in the list; Addr the host:port of its port for
	// peers.
	Name, Addr string
}

// Config sets up a Node. Every field but DataDir has a working zero value.
type Config struct {
	// DataDir holds identity, log and snapshots; it is made if it is missing.
	// One process at a time has it.
	DataDir string
	// Name, Address and Version describe the instance to the others.
	Name, Address, Version string
	// Named tells that an operator has given the instance its Name: the data directory is then
	// refused to an instance of another name.
	Named bool
	// MayBegin is asked before a new cluster of that id begins its log: it returns "" if it may, why
	// it has to wait, or an error if it must not. Nil lets every cluster begin.
	MayBegin func(ctx context.Context, cluster string) (why string, err error)
	// ListenAddr is the host:port for peers. An instance without it stands
	// alone. AdvertiseAddr is how peers name that place; it defaults to where
	// the instance listens.
	ListenAddr, AdvertiseAddr string
	// Peers are the other instances. An empty data directory with peers begins
	// or joins a cluster with them, one without begins a cluster of one.
	Peers []Peer
	// Credentials are shown to peers; they go with ListenAddr.
	Credentials peer.Credentials
	// Now is the time since boot, suspended time included, from which
	// Leadership.Since is taken; it defaults to lease.Now.
	Now func() time.Duration
	// Profile defaults to Fast.
	Profile Profile
	// StoreTimeout is how long a call to the log's disk may take before the
	// instance gives up on itself, as the library would keep a leader whose disk
	// hangs for ever. It defaults to 5 s.
	StoreTimeout time.Duration
	// LockTimeout is how long Open waits for a process that still has DataDir;
	// it defaults to 5 s.
	LockTimeout time.Duration
	// BatchLimit bounds the commands of a batch, and so of one Propose; it
	// defaults to 256.
	BatchLimit int
	// QueueLimit bounds the commands that wait for a batch; it defaults to 8192.
	QueueLimit int
	// Logger defaults to none.
	Logger *slog.Logger
	// Registerer takes the metrics; it defaults to none.
	Registerer prometheus.Registerer

	// wrapStore and dial let tests put faults below everything of ours, openStores
	// and listen keep it all in memory, tune lets them change the library's settings.
	wrapStore  func(store) store
	openStores func() (store, raft.SnapshotStore)
	dial       func(ctx context.Context, addr string) (net.Conn, error)
	listen     func(ctx context.Context, addr string) (peer.Listener, error)
	tune       func(*raft.Config)
	// logBytes bounds the log, but in tests always logBytes.
	logBytes int64
}

// withDefaults fills in the defaults and reports all that is wrong.
func (c Config) withDefaults() (Config, error) {
	setDefault(&c.Profile, Fast)
	setDefault(&c.StoreTimeout, 5*time.Second)
	setDefault(&c.LockTimeout, 5*time.Second)
	setDefault(&c.logBytes, logBytes)
	setDefault(&c.BatchLimit, 256)
	setDefault(&c.QueueLimit, 8192)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.wrapStore == nil {
		c.wrapStore = func(s store) store { return s }
	}
	if c.Now == nil {
		c.Now = lease.Now
	}
	_, err := c.Profile.timeout()
	if c.DataDir == "" {
		err = errors.Join(err, errors.New("raft.data_dir is empty"))
	}
	if c.ListenAddr == "" && len(c.Peers) > 0 {
		err = errors.Join(err, errors.New("raft.listen_addr is empty, but there are peers"))
	}
	if c.StoreTimeout < 0 || c.LockTimeout < 0 || c.BatchLimit < 0 || c.QueueLimit < c.BatchLimit {
		err = errors.Join(err, errors.New("a limit of consensus is negative, or a batch exceeds the queue"))
	}
	return c, err
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// raft returns the library's settings.
func (c Config) raft(id string) (*raft.Config, error) {
	timeout, err := c.Profile.timeout()
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
	rc.LogOutput = &libraryLog{to: c.Logger}
	// A follower that was away for less than this needs no snapshot, whose
	// installation is the library's weakest part.
	rc.TrailingLogs = 100_000
	// Marks make the log grow with the load, so that the time of a restart is
	// bounded by this interval (the library takes once to twice of it).
	rc.SnapshotThreshold = 4096
	rc.SnapshotInterval = time.Minute
	if c.tune != nil {
		c.tune(rc)
	}
	return rc, nil
}
