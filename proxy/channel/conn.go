package channel

import (
	"fmt"
	"net"
	"sync"
)

// replayed is a connection of which some bytes were read before its reader
// came.
type replayed struct {
	net.Conn
	head []byte // what is to be read first
}

// Read implements net.Conn.
func (r *replayed) Read(p []byte) (int, error) {
	if len(r.head) == 0 {
		return r.Conn.Read(p)
	}
	n := copy(p, r.head)
	r.head = r.head[n:]
	return n, nil
}

// ending is a stream whose end is that of the session.
type ending struct {
	net.Conn
	end func() // called once
}

func newEnding(stream net.Conn, end func()) *ending {
	return &ending{Conn: stream, end: sync.OnceFunc(end)}
}

// Close implements net.Conn.
func (e *ending) Close() error {
	e.end()
	return nil
}

// opening is a network connection on which a multiplexed session begins. It
// looks whether the first frame is one, because a server that speaks HTTP/2
// only may say something before it closes. Only the session reads from it.
type opening struct {
	net.Conn
	head   [frameHeaderSize]byte
	filled int
	spoken chan struct{} // closed when the first frame was one
	err    error         // why it was none
}

// frameHeaderSize is the size of the header of a frame of yamux.
const frameHeaderSize = 12

// Read implements net.Conn.
func (o *opening) Read(p []byte) (int, error) {
	n, err := o.Conn.Read(p)
	if o.filled == len(o.head) {
		return n, err
	}
	o.filled += copy(o.head[o.filled:], p[:n])
	switch {
	case o.filled == len(o.head) && !beginsSession(o.head):
		o.err = fmt.Errorf("it answers %q", o.head[:])
		return 0, o.err
	case o.filled == len(o.head):
		close(o.spoken)
	case err != nil:
		o.err = err
	}
	return n, err
}

// beginsSession reports whether a frame can be a server's first: version 0, and
// either no data or data of the stream that the client opened.
func beginsSession(head [frameHeaderSize]byte) bool {
	const (
		data   = 0
		goAway = 3
	)
	return head[0] == 0 && head[1] <= goAway && (head[1] != data || head[7] == 1)
}

// streamListener hands streams to a gRPC server.
type streamListener struct {
	addr    net.Addr
	streams chan net.Conn
	done    <-chan struct{} // closed with the session
}

// Accept implements net.Listener.
func (l *streamListener) Accept() (net.Conn, error) {
	select {
	case s := <-l.streams:
		return s, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The session is not the server's to close: it
// stops only after that.
func (l *streamListener) Close() error { return nil }

// Addr implements net.Listener.
func (l *streamListener) Addr() net.Addr { return l.addr }

// hand gives a stream to the server, and reports whether it took it.
func (l *streamListener) hand(s net.Conn) bool {
	select {
	case l.streams <- s:
		return true
	case <-l.done:
		return false
	}
}
