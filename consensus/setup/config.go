// Package setup has the settings of an instance's part in the cluster.
// The packages of consensus read them, and none changes them.
package setup

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/peer"
)

// Config sets up the node of an instance. Every field but DataDir has a working zero value.
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
	Peers []member.Peer
	// Credentials are shown to peers; they go with ListenAddr.
	Credentials peer.Credentials
	// Now is the time since boot, suspended time included, from which
	// Leadership.Since is taken; it defaults to lease.Now.
	Now func() time.Duration
	// Profile defaults to Fast.
	Profile member.Profile
	// StoreTimeout is how long a call to the log's disk may take before the
	// instance gives up on itself, as the library would keep a leader whose disk
	// hangs permanently. It defaults to 5 s.
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
	// Wrap, if it is set, is put around the network connections with peers.
	Wrap func(net.Conn) net.Conn
	// Fakes replace disk and network in tests; zero in the daemon.
	Fakes Fakes
}

// WithDefaults fills in the defaults and reports all that is wrong.
func (c Config) WithDefaults() (Config, error) {
	setDefault(&c.Profile, member.Fast)
	setDefault(&c.StoreTimeout, 5*time.Second)
	setDefault(&c.LockTimeout, 5*time.Second)
	setDefault(&c.Fakes.LogBytes, logBytes)
	setDefault(&c.BatchLimit, 256)
	setDefault(&c.QueueLimit, 8192)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Fakes.WrapStore == nil {
		c.Fakes.WrapStore = func(s LogStore) LogStore { return s }
	}
	if c.Now == nil {
		c.Now = lease.Now
	}
	_, err := c.Profile.Timeout()
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
