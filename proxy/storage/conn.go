package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/reachability"
	"praefect/proxy/channel"
)

// Conn is a connection to a storage, verified before it was handed out. It never
// becomes another connection: when it is lost, every RPC started on it fails with
// UNAVAILABLE and has sent nothing. It implements grpc.ClientConnInterface and is
// safe for concurrent use.
//
// To a storage that speaks the backchannel it consists of two network connections,
// which lead to the same disk, and are lost together. A call that shares one with the
// backchannel is framed twice and copied once more; so only a call that needs it takes
// it, as WithBackchannel says.
type Conn struct {
	target         Target
	generation     uint64
	identity       identity
	plain, channel *path // the same one without backchannel
	// frames is the third network connection, for reads that go past gRPC; nil while there is none.
	frames atomic.Pointer[framePath]
	place  *place
	// sidechannels are the sidechannels that the storage may open; nil without backchannel.
	sidechannels *channel.Registry

	// outstanding counts the RPCs under way; finished takes one off, once for
	// each, when it has ended in any way.
	outstanding atomic.Int64
	finished    grpc.CallOption
	// used tells that an RPC was begun since inUse last looked, and usedAt when that was, in
	// nanoseconds after born.
	used   atomic.Bool
	usedAt atomic.Int64
	born   time.Time
	onUse  func() // Config.Used

	// lost is closed when the connection is given up, after cause was set.
	// idle is closed when it is lost and its last RPC has ended.
	lost, idle chan struct{}
	cause      error
	closeIdle  func()

	audience audience
	// silentAfter is Config.Silence.
	silentAfter time.Duration
}

var _ grpc.ClientConnInterface = (*Conn)(nil)

// dial makes a connection, with the backchannel or without, and verifies the server that is
// behind it. The caller bounds it. Errors are *dialError.
func dial(ctx context.Context, to *place, generation uint64, cfg Config, backchannel bool) (*Conn, error) {
	c := &Conn{
		target: to.target, place: to, generation: generation, silentAfter: cfg.Silence, born: time.Now(), onUse: cfg.Used, lost: make(chan struct{}), idle: make(chan struct{}),
	}
	c.audience.init()
	c.finished = grpc.OnFinish(func(error) { c.unref() })
	c.closeIdle = sync.OnceFunc(func() { close(c.idle) })

	creds := to.addr.transport(cfg)
	if !backchannel {
		var err error
		c.plain, c.identity, err = open(ctx, to, cfg, creds)
		c.channel = c.plain
		return c, err
	}
	var notSpoken atomic.Bool
	c.sidechannels = new(channel.Registry)
	both := channel.NewClientCredentials(creds, channel.Client{
		Config: cfg.Channels, Server: func() *grpc.Server { return cfg.Backchannel(c) }, Sidechannels: c.sidechannels,
		NotSpoken: func() { notSpoken.Store(true) },
	})
	var err error
	if c.channel, c.identity, err = open(ctx, to, cfg, both); err != nil {
		failure, _ := errors.AsType[*dialError](err)
		failure.notSpoken = notSpoken.Load()
		return nil, failure
	}
	var beside identity
	c.plain, beside, err = open(ctx, to, cfg, creds)
	switch {
	case err != nil:
		return nil, &dialError{cause: errors.Join(err, c.channel.cc.Close()), answered: true}
	case beside.filesystemID != c.identity.filesystemID: // ▲ TestSet_refusesTwoDisks: a read must not find another disk than was routed to
		err := fmt.Errorf("the disk was %q, and is %q a moment later", c.identity.filesystemID, beside.filesystemID)
		return nil, &dialError{cause: errors.Join(err, c.close()), answered: true}
	}
	return c, nil
}

// Target returns the address of the connection.
func (c *Conn) Target() Target { return c.target }

// Generation counts the connections to this storage that were published since
// the process began; the first is 1. One that was not published may have had the
// number of the next.
func (c *Conn) Generation() uint64 { return c.generation }

// FilesystemID is the id of the disk behind the connection, never empty. It
// cannot change while the connection lives.
func (c *Conn) FilesystemID() string { return c.identity.filesystemID }

// ServerVersion is the version of the storage's server.
func (c *Conn) ServerVersion() string { return c.identity.serverVersion }

// GitVersion is the version of git that the storage runs.
func (c *Conn) GitVersion() string { return c.identity.gitVersion }

// Release is the version of the storage: the version of its server and that of its git.
func (c *Conn) Release() string {
	return reachability.Release(c.identity.serverVersion, c.identity.gitVersion)
}

// Backchannel reports whether the storage can call this side, during RPCs started
// WithBackchannel: else no write to it is voted on, and it opens no sidechannel.
func (c *Conn) Backchannel() bool { return c.sidechannels != nil }

// Sidechannels has the calls that wait for sidechannels of this connection; nil if
// there is no backchannel.
func (c *Conn) Sidechannels() *channel.Registry { return c.sidechannels }

// Outstanding is the number of RPCs under way, health checks not counted.
func (c *Conn) Outstanding() int64 { return c.outstanding.Load() }

// usedFor is how long a connection counts as in use after an RPC.
const usedFor = 5 * time.Second

// inUse tells whether an RPC is or was under way lately, health checks not counted. A connection that
// is new counts as in use.
func (c *Conn) inUse() bool {
	now := time.Since(c.born)
	if c.outstanding.Load() > 0 || c.used.Load() {
		c.usedAt.Store(int64(now))
		c.used.Store(false)
	}
	return now-time.Duration(c.usedAt.Load()) < usedFor
}

// Lost returns a channel that is closed once the connection is given up: it
// broke, was closed by the storage, or fell silent. RPCs under way on it may
// still end by themselves: after an orderly shutdown of the storage they
// usually do, after silence only when the storage comes back.
func (c *Conn) Lost() <-chan struct{} { return c.lost }

// Err says why the connection was given up; nil while it was not.
func (c *Conn) Err() error {
	select {
	case <-c.lost:
		return c.cause
	default:
		return nil
	}
}

// Invoke performs a unary RPC; see grpc.ClientConn.
func (c *Conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	if err := c.acquire(); err != nil {
		return err
	}
	return c.path(ctx).cc.Invoke(ctx, method, args, reply, c.counted(opts)...)
}

// NewStream begins a streaming RPC; see grpc.ClientConn. An error means that
// the storage never learnt of the RPC.
func (c *Conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	if err := c.acquire(); err != nil {
		return nil, err
	}
	return c.path(ctx).cc.NewStream(ctx, desc, method, c.counted(opts)...)
}

// counted adds the option that undoes acquire, into an array of its
// own: that of opts is the caller's.
func (c *Conn) counted(opts []grpc.CallOption) []grpc.CallOption {
	return append(opts[:len(opts):len(opts)], c.finished)
}

// acquire counts an RPC before it looks whether the connection is lost, so that
// drain, which does it in the other order, misses none.
func (c *Conn) acquire() error {
	c.outstanding.Add(1)
	if !c.used.Load() { // most calls only read it
		c.used.Store(true)
		if c.onUse != nil {
			c.onUse()
		}
	}
	if err := c.Err(); err != nil {
		c.unref()
		return status.Error(codes.Unavailable, unreachable(c.target, err).Error())
	}
	return nil
}

func (c *Conn) unref() {
	if c.outstanding.Add(-1) == 0 && c.Err() != nil {
		c.closeIdle()
	}
}

// giveUp makes the connection lost. Its owner calls it, once.
func (c *Conn) giveUp(cause error) {
	c.cause = cause
	close(c.lost)
	if errors.Is(cause, errSilent) {
		c.fallSilent(cause)
	}
}

// drain closes the connection when its last RPC has ended, or at the end of
// ctx, which ends them. The connection must be lost.
func (c *Conn) drain(ctx context.Context) error {
	if c.outstanding.Load() == 0 {
		c.closeIdle()
	}
	select {
	case <-c.idle:
	case <-ctx.Done():
	}
	return c.close()
}
