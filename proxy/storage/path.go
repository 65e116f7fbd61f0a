package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
)

// path is one network connection of a Conn. It never becomes another one.
type path struct {
	cc   *grpc.ClientConn
	wire *wire
}

// open makes a network connection and asks the server behind it. The caller bounds
// it, and closes the path unless there is an error.
func open(ctx context.Context, to *place, cfg Config, creds credentials.TransportCredentials) (*path, identity, error) {
	p := &path{wire: newWire()}
	dialer := cfg.Dial
	if dialer == nil {
		dialer = to.addr.dialer()
	}
	var spent atomic.Bool
	cc, err := newClientConn(to.addr, to.secret, cfg, creds, func(ctx context.Context, _ string) (net.Conn, error) {
		if spent.Swap(true) {
			return nil, errSpent
		}
		ctx, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
		defer cancel()
		conn, err := dialer(ctx, to.addr.network, to.addr.endpoint)
		if err != nil {
			p.wire.end(err)
			return nil, err
		}
		return p.wire.around(conn, cfg), nil
	})
	if err != nil {
		return nil, identity{}, &dialError{cause: err}
	}
	p.cc = cc
	id, err := verify(ctx, cc, to.target.Storage)
	if err != nil {
		host := p.wire.hostAnswers(cfg)
		return nil, identity{}, &dialError{cause: errors.Join(p.wire.why(err), cc.Close()), answered: p.wire.answered(), host: host}
	}
	// The library answers RPCs a moment before it says that it is ready; until
	// then the connection would look lost.
	for cc.GetState() == connectivity.Connecting && cc.WaitForStateChange(ctx, connectivity.Connecting) {
	}
	return p, id, nil
}

// paths are the network connections of c: one, or two if there is a backchannel.
func (c *Conn) paths() []*path {
	if c.plain == c.channel {
		return []*path{c.plain}
	}
	return []*path{c.channel, c.plain}
}

// silence is the time since the storage was last heard, over any path.
func (c *Conn) silence() time.Duration {
	silence := min(c.plain.wire.silence(), c.channel.wire.silence())
	if p := c.frames.Load(); p != nil {
		silence = min(silence, p.wire.silence())
	}
	return silence
}

// Silent tells that nothing was heard of the storage for Config.Silence.
func (c *Conn) Silent() bool { return c.silence() >= c.silentAfter }

// hostSilence is the time since the storage's host acknowledged the sent data, over
// either path.
func (c *Conn) hostSilence() time.Duration {
	return min(c.plain.wire.hostSilence(), c.channel.wire.hostSilence())
}

// why returns the error that ended the connection, or otherwise if nothing was noted.
func (c *Conn) why(otherwise error) error {
	for _, p := range c.paths() {
		otherwise = p.wire.why(otherwise)
	}
	return otherwise
}

// close ends the RPCs under way on all paths.
func (c *Conn) close() error {
	c.closeFrames(unreachable(c.target, net.ErrClosed))
	var faults []error
	for _, p := range c.paths() {
		faults = append(faults, p.cc.Close())
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("close connection to storage %q: %w", c.target.Storage, err)
	}
	return nil
}

type needsBackchannel struct{}

// WithBackchannel has RPCs that are started with the returned context use the
// network connection over which the storage can call back: it finds the one that
// a vote or a sidechannel has to take by that of the RPC.
func WithBackchannel(ctx context.Context) context.Context {
	return context.WithValue(ctx, needsBackchannel{}, true)
}

// path is the network connection for an RPC.
func (c *Conn) path(ctx context.Context) *path {
	if c.plain != c.channel && ctx.Value(needsBackchannel{}) != nil {
		return c.channel
	}
	return c.plain
}
