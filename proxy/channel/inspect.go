package channel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	frameData = 0
	framePing = 2

	// maxPings may come at once, and one more every pingEvery. Neither side of this
	// protocol pings, and yamux starts a goroutine for each.
	maxPings  = 64
	pingEvery = 10 * time.Second
	// maxClientFrame bounds the data of a frame from a client, for which yamux makes
	// room when the frame is announced.
	maxClientFrame = 1 << 20
)

var (
	// errPings ends a session whose other side pings all the time.
	errPings = errors.New("the other side sends pings all the time")
	// errFrameSize ends a session whose other side announces a frame that is too large.
	errFrameSize = errors.New("the other side announces too large a frame")
)

// inspected is a network connection whose frames are looked at before the session
// sees them. Only the session reads from it.
type inspected struct {
	net.Conn
	frames inspector
}

func inspect(conn net.Conn, maxFrame uint32) *inspected {
	return &inspected{Conn: conn, frames: inspector{maxFrame: maxFrame, now: time.Now}}
}

// Read implements net.Conn. Nothing is passed on of the bytes that came with a frame that is
// refused.
func (i *inspected) Read(p []byte) (int, error) {
	n, err := i.Conn.Read(p)
	if refused := i.frames.pass(p[:n]); refused != nil {
		return 0, refused
	}
	return n, err
}

// inspector judges the frames of one direction of a session. It keeps nothing of
// their content.
type inspector struct {
	maxFrame uint32 // bytes of data
	now      func() time.Time

	head   [frameHeaderSize]byte
	filled int
	body   uint32 // bytes of data that are yet to come of the present frame
	pings  int
	since  time.Time // of the first ping that counts
}

// pass looks at the next bytes. After an error the session must end.
func (i *inspector) pass(b []byte) error {
	for len(b) > 0 {
		if i.body > 0 {
			n := min(uint32(min(len(b), 1<<30)), i.body)
			i.body -= n
			b = b[n:]
			continue
		}
		n := copy(i.head[i.filled:], b)
		i.filled += n
		b = b[n:]
		if i.filled < len(i.head) {
			return nil
		}
		i.filled = 0
		if err := i.judge(); err != nil {
			return err
		}
	}
	return nil
}

// judge looks at a header. Other faults of one are found by yamux.
func (i *inspector) judge() error {
	switch i.head[1] {
	case frameData:
		i.body = binary.BigEndian.Uint32(i.head[8:])
		if i.body > i.maxFrame {
			return fmt.Errorf("%w: %d bytes, the limit is %d", errFrameSize, i.body, i.maxFrame)
		}
	case framePing:
		now := i.now()
		if i.pings == 0 {
			i.since = now
		}
		// The frames that are forgiven by now need not be counted any more.
		if forgiven := int(now.Sub(i.since) / pingEvery); forgiven > 0 {
			i.pings = max(0, i.pings-forgiven)
			i.since = i.since.Add(time.Duration(forgiven) * pingEvery)
		}
		if i.pings++; i.pings > maxPings {
			return errPings
		}
	}
	return nil
}
