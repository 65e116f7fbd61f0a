package clientconn

import (
	"container/list"
	"context"
	"crypto/subtle"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/peer"
)

const (
	// idleTimeout ends a connection that has proved nothing and says nothing.
	idleTimeout = 30 * time.Second
	// unprovedBytes may come at once over a connection that has proved nothing, and unprovedRate in each second after that.
	// gRPC reads the proof with the first headers, so no client with a token ever waits.
	unprovedBytes = 256 << 10
	unprovedRate  = 64 << 10
	// unprovedCalls may be made at once without a token, of the methods that need none, and unprovedCallRate a second after.
	unprovedCalls    = 20
	unprovedCallRate = 5
	// maxRejected is how many calls in a row may come without the right token before the connection is closed.
	maxRejected = 100
	// rejectedFar is as how many a call counts that must get a stream to be rejected: one with a deadline far away.
	rejectedFar = 10
	// cutOffDelay is how long a connection that is cut off stays, unread: a client that comes back at once costs more than one
	// that waits for the end.
	cutOffDelay = time.Second
	// takenBackCalls may be opened and taken back at once over a connection, and takenBackRate a second after that. Beyond it
	// the connection is read more slowly, even if it has proved itself.
	takenBackCalls = 500
	takenBackRate  = 200
	// userTimeout ends a connection whose host acknowledges nothing. gRPC sets it only on connections that it knows.
	userTimeout = 20 * time.Second
)

// Conn is the connection of a client.
type Conn struct {
	net.Conn
	set     *Set
	remote  net.Addr
	element *list.Element // in set.unproved; guarded by set.mu

	proved      atomic.Bool
	proof       chan struct{} // closed with proved
	ownDeadline atomic.Bool   // the handshake has set a read deadline of its own
	closing     sync.Once
	closed      chan struct{}
	err         error // set by closing

	bytes bucket // only Read

	takenBackMu sync.Mutex
	takenBack   bucket       // guarded by takenBackMu
	paused      atomic.Int64 // nothing is read until then, in Unix nanoseconds; 0 for no pause

	counted counted

	// Only the check of a call's headers, which gRPC makes one at a time for each connection:
	calls    bucket
	rejected int
	shown    string    // the proof that was checked last
	secret   string    // what it proved to know
	until    time.Time // shown holds until then
}

func newConn(raw net.Conn, s *Set) *Conn {
	c := &Conn{
		Conn: raw, set: s, proof: make(chan struct{}), closed: make(chan struct{}),
		bytes: newBucket(unprovedBytes, unprovedRate), calls: newBucket(unprovedCalls, unprovedCallRate),
		takenBack: newBucket(takenBackCalls, takenBackRate),
	}
	c.remote = Addr{Addr: raw.RemoteAddr(), conn: c}
	if s.trusting {
		c.proved.Store(true)
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		if control, err := tcp.SyscallConn(); err == nil {
			// An error means that the kernel has no such option, as before Linux 2.6.37: gRPC's pings remain.
			_ = control.Control(func(fd uintptr) {
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
			})
		}
	}
	return c
}

// Addr is the remote address of a Conn. It leads from the context of a call to the connection, through every layer between.
type Addr struct {
	net.Addr
	conn *Conn
}

// FromContext returns the connection on which a call came, nil if it came over no Listener of a Set.
func FromContext(ctx context.Context) *Conn {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	return Of(p.Addr)
}

// Of returns the connection that has a remote address, nil if it came over no Listener of a Set.
func Of(remote net.Addr) *Conn {
	a, _ := remote.(Addr)
	return a.conn
}

// Socket is what the bytes of the connection are written to, nil if that is no socket.
func (c *Conn) Socket() syscall.Conn {
	socket, _ := c.Conn.(syscall.Conn)
	return socket
}

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.pause(); err != nil {
		return 0, err
	}
	if c.proved.Load() {
		return c.Conn.Read(p)
	}
	return c.readUnproved(p)
}

// pause waits until the connection may be read.
func (c *Conn) pause() error {
	until := c.paused.Load()
	if until == 0 {
		return nil
	}
	pause := time.NewTimer(time.Until(time.Unix(0, until)))
	defer pause.Stop()
	select {
	case <-pause.C:
		c.paused.CompareAndSwap(until, 0) // the next read waits for a later one
		return nil
	case <-c.closed:
		return net.ErrClosed
	}
}

// TakenBack notes that a call was given up as soon as it was opened. Each such call costs this process more than its client.
func (c *Conn) TakenBack(now time.Time) {
	c.takenBackMu.Lock()
	defer c.takenBackMu.Unlock()
	c.takenBack.room(now) // fills it up
	c.takenBack.take(1)
	if lack := -c.takenBack.left; lack > 0 {
		c.paused.Store(now.Add(time.Duration(lack / takenBackRate * float64(time.Second))).UnixNano())
	}
}

func (c *Conn) readUnproved(p []byte) (int, error) {
	for {
		room, wait := c.bytes.room(time.Now())
		if room > 0 {
			p = p[:min(len(p), room)]
			break
		}
		pause := time.NewTimer(wait)
		select {
		case <-pause.C:
			continue
		case <-c.closed:
			pause.Stop()
			return 0, net.ErrClosed
		case <-c.proof:
			pause.Stop()
			return c.Conn.Read(p)
		}
	}
	if !c.ownDeadline.Load() {
		if err := c.Conn.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return 0, err
		}
		if c.proved.Load() { // in between
			if err := c.Conn.SetReadDeadline(time.Time{}); err != nil {
				return 0, err
			}
		}
	}
	n, err := c.Conn.Read(p)
	c.bytes.take(n)
	return n, err
}

// WriteBuffers writes all buffers with one system call, where the connection can.
func (c *Conn) WriteBuffers(b *net.Buffers) (int64, error) { return b.WriteTo(c.Conn) }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.Conn.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// SetReadDeadline implements net.Conn. While it is set, Read sets none.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.ownDeadline.Store(!t.IsZero())
	return c.Conn.SetReadDeadline(t)
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.set.closed(c)
		c.err = c.Conn.Close()
	})
	return c.err
}

// Proved tells whether a call on the connection has proved to know the token.
func (c *Conn) Proved() bool { return c.proved.Load() }

// Prove lifts the limits: a call has shown the right token.
func (c *Conn) Prove() {
	c.rejected = 0
	if c.proved.Swap(true) {
		return
	}
	close(c.proof)
	c.set.proved(c)
	if !c.ownDeadline.Load() {
		_ = c.Conn.SetReadDeadline(time.Time{}) // an error means that it is closed, which Read tells
	}
}

// Remember keeps a proof that was checked, so that the next call that shows the same one need not be checked again.
func (c *Conn) Remember(shown, secret string, until time.Time) {
	c.shown, c.secret, c.until = shown, secret, until
}

// Remembers tells whether a proof is the one that was checked, and still holds: the secret may have been replaced. It takes as
// long for any other proof.
func (c *Conn) Remembers(shown, secret string, now time.Time) bool {
	return c.shown != "" && c.secret == secret && now.Before(c.until) && subtle.ConstantTimeCompare([]byte(c.shown), []byte(shown)) == 1
}

// MayCall tells whether a call may be made now that needs no token.
func (c *Conn) MayCall(now time.Time) bool {
	if room, _ := c.calls.room(now); c.proved.Load() || room > 0 {
		c.calls.take(1)
		return true
	}
	return false
}

// Reject notes that a call came without the right token; far tells that it must get a stream all the same. A client that goes
// on like that is cut off: nothing more is read, and the connection is closed a moment later.
func (c *Conn) Reject(far bool, now time.Time) {
	if c.rejected >= maxRejected {
		return // the bytes that were read before
	}
	c.rejected++
	if far {
		c.rejected += rejectedFar - 1
	}
	if c.rejected >= maxRejected {
		c.paused.Store(now.Add(2 * cutOffDelay).UnixNano())
		time.AfterFunc(cutOffDelay, func() { _ = c.Close() }) // its reader learns of it
	}
}

// bucket is an allowance that fills up again.
type bucket struct {
	size, rate, left float64
	at               time.Time // left is as of then
}

func newBucket(size, rate float64) bucket { return bucket{size: size, rate: rate, left: size} }

// refillPause is how long an empty bucket fills up before it is looked at again.
const refillPause = 100 * time.Millisecond

// room is how much may be taken now; if nothing, the time after which to ask again.
func (b *bucket) room(now time.Time) (n int, wait time.Duration) {
	if !b.at.IsZero() {
		b.left = min(b.size, b.left+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.left >= 1 {
		return int(b.left), 0
	}
	return 0, refillPause
}

func (b *bucket) take(n int) { b.left -= float64(n) }
