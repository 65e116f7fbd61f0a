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
	j.parts = [2][]byte{j.header, p}
	both := net.Buffers(j.parts[:])
	n, err := both.WriteTo(j.Conn)
	n -= int64(len(j.header))
	j.header = nil
	return int(max(n, 0)), err
}

// bodyFollows reports whether p is the header of a frame that has a body: of type
// data, with a length that is not 0.
func bodyFollows(p []byte) bool {
	return len(p) == frameHeaderSize && p[0] == 0 && p[1] == 0 && binary.BigEndian.Uint32(p[8:]) > 0
}
