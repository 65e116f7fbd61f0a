package channel

import (
	"encoding/binary"
	"net"
)

// joining writes the header of a frame together with its body, which yamux writes
// one after the other: each would be a packet and a system call of its own. Only
// the session writes to it.
type joining struct {
	net.Conn
	header []byte // of a frame whose body comes next
	held   [frameHeaderSize]byte
	parts  [2][]byte
	whole  []byte // a frame, where the connection cannot take it in parts
}

// Write implements net.Conn.
func (j *joining) Write(p []byte) (int, error) {
	if len(j.header) == 0 && bodyFollows(p) {
		j.header = append(j.held[:0], p...)
		return len(p), nil
	}
	if len(j.header) == 0 {
		return j.Conn.Write(p)
	}
	n, err := j.writeFrame(p)
	n -= int64(len(j.header))
	j.header = nil
	return int(max(n, 0)), err
}

// buffersWriter is a connection around one that can take several buffers at once.
type buffersWriter interface {
	WriteBuffers(*net.Buffers) (int64, error)
}

// writeFrame writes the header and its body.
func (j *joining) writeFrame(body []byte) (int64, error) {
	switch conn := j.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		j.parts = [2][]byte{j.header, body}
		both := net.Buffers(j.parts[:])
		return both.WriteTo(j.Conn)
	case buffersWriter:
		j.parts = [2][]byte{j.header, body}
		both := net.Buffers(j.parts[:])
		return conn.WriteBuffers(&both)
	}
	// Any other, as TLS, would write the parts one by one.
	j.whole = append(append(j.whole[:0], j.header...), body...)
	n, err := j.Conn.Write(j.whole)
	return int64(n), err
}

// bodyFollows reports whether p is the header of a frame that has a body: of type
// data, with a length that is not 0.
func bodyFollows(p []byte) bool {
	return len(p) == frameHeaderSize && p[0] == 0 && p[1] == 0 && binary.BigEndian.Uint32(p[8:]) > 0
}
