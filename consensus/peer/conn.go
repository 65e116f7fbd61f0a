package peer

import (
	"crypto/tls"
	"net"
	"sync"
)

// Addr is the address of an authenticated peer. The remote address of every
// connection is one, so that gRPC's peer.FromContext tells the caller.
type Addr struct {
	net.Addr
	// Name and ID are the peer's.
	Name, ID string
}

// Conn is an authenticated, encrypted connection to a peer.
type Conn struct {
	*tls.Conn
	plain   net.Conn
	remote  Addr
	cluster string // the peer's, empty if it had none yet
	onClose func(*Conn)
	closing sync.Once
	closed  error // set by closing
}

// RemoteAddr implements net.Conn; it is an Addr.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Peer returns the peer at the other end.
func (c *Conn) Peer() Addr { return c.remote }

// Close implements net.Conn. It does not say good-bye, which could wait for a
// peer that does not read: the protocols on these connections know their end.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		c.closed = c.plain.Close()
		c.onClose(c)
	})
	return c.closed
}
