package channel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// errCut tells that a sidechannel was ended from this side.
var errCut = errors.New("the sidechannel was cut off, because its call has ended")

// end is one end of a sidechannel. One goroutine at a time may read from it, and
// one write to it.
type end struct {
	stream *yamux.Stream
	call   context.Context // whose end calls cut
	gone   atomic.Bool     // set by cut
	// stall, if not zero, is how long the other side may take nothing of the written data.
	stall   time.Duration
	lastSet atomic.Bool // set by last
}

// readRaw reads the bytes on the wire.
func (e *end) readRaw(p []byte) (int, error) {
	if e.lastSet.Load() {
		if err := e.stream.SetReadDeadline(time.Now().Add(openingTimeout)); err != nil {
			return 0, err
		}
	}
	if e.gone.Load() { // after the deadline was set, which cut sets, too
		return 0, errCut
	}
	n, err := e.stream.Read(p)
	switch {
	case err == nil:
	case e.over():
		err = errCut
	case err == io.EOF && e.stream.Session().IsClosed():
		err = fmt.Errorf("read from the sidechannel: connection lost: %w", io.ErrUnexpectedEOF)
	case err != io.EOF:
		err = fmt.Errorf("read from the sidechannel: %w", err)
	}
	return n, err
}

// writeRaw writes bytes to the wire.
func (e *end) writeRaw(p []byte) (int, error) {
	if e.stall > 0 {
		if err := e.stream.SetWriteDeadline(time.Now().Add(e.stall)); err != nil {
			return 0, err
		}
	}
	if e.gone.Load() { // after the deadline was set, which cut sets, too
		return 0, errCut
	}
	n, err := e.stream.Write(p)
	switch {
	case err == nil:
	case e.over():
		err = errCut
	default:
		err = fmt.Errorf("write to the sidechannel: %w", err)
	}
	return n, err
}

// over tells that the call has ended, perhaps before cut has had its turn: the other side, which ends its
// call then too, closes its end in good order, and that must not be taken for the end of the data.
func (e *end) over() bool { return e.gone.Load() || e.call.Err() != nil }

// cut ends reading and writing at once, from any goroutine.
func (e *end) cut() {
	e.gone.Store(true)
	_ = e.stream.SetDeadline(time.Unix(1, 0)) // cannot fail; a waiting call wakes up
}

// last says that nothing new will be sent by the other side: the data that it has sent
// must come without a long pause.
func (e *end) last() {
	e.lastSet.Store(true)
	if !e.gone.Load() {
		_ = e.stream.SetReadDeadline(time.Now().Add(openingTimeout)) // cannot fail
	}
	if e.gone.Load() {
		e.cut() // it came in between
	}
}

func (e *end) close() {
	_ = e.stream.Close() // always nil: the other side learns of it or is gone
}
