package frames

import (
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// stageBelow is the size below which frames wait for the end of the batch, and are copied.
const stageBelow = 2 << 10

// headers implements receiver.
func (c *call) headers(fields []hpack.HeaderField, end bool) (ok bool) {
	f := c.front
	f.mu.Lock()
	defer f.unlock()
	if c.state != diverted {
		return true
	}
	code, message, valid := codes.OK, "", true
	if end {
		code, message, valid = statusOf(fields)
	}
	switch {
	case !c.answered && (Value(fields, ":status") != "200" || !isGRPC(Value(fields, "content-type")) || !valid):
		c.takeBack("the storage does not answer as gRPC does") // gRPC can interpret the answer
		return false
	case c.answered && !end:
		c.finish(codes.Internal, "a HEADERS frame cannot appear in the middle of a stream", nil)
		return false
	case !valid:
		c.finish(codes.Unknown, "the storage sent no valid grpc-status", nil)
		return true
	}
	if !c.answered {
		c.result.Answered = time.Now()
		f.accept(c)
	}
	if end {
		c.finish(code, message, fields)
		return true
	}
	c.answered = true
	c.result.Header = fields
	passed := make([]hpack.HeaderField, 0, len(fields)+2)
	passed = append(passed, c.opening()...)
	for _, h := range fields {
		if h.Name == "grpc-encoding" || !reserved(h.Name) {
			passed = append(passed, h)
		}
	}
	if c.d.Headers != nil {
		passed = c.d.Headers(passed)
	}
	f.out.stage(f.frames(c, 0, passed))
	f.pings.sent = true
	if c.result.Code != codes.OK { // it was reset
		c.over()
	}
	return true
}

// data implements receiver: frames are whole, have no flags, and their ids may be changed.
func (c *call) data(frames []byte) (ok bool) {
	f := c.front
	f.mu.Lock()
	if c.state != diverted {
		f.unlock()
		return true
	}
	if !c.answered {
		c.takeBack("the storage sent DATA before headers")
		f.unlock()
		return false
	}
	written := c.forward(frames)
	s := c.stream
	f.unlock()
	s.returned(written)
	return true
}

// forward sends DATA frames as far as the windows allow, and returns how many bytes of DATA are written. mu is held.
func (c *call) forward(frames []byte) (written int) {
	f := c.front
	sent, n := 0, 0
	for at := 0; at < len(frames); {
		length := parseHead(frames[at:]).length
		end := at + headLen + length
		payload := frames[at+headLen : end]
		c.messages.add(payload)
		if sent == at && len(c.pending) == 0 && f.room(c, length) == length {
			putID(frames[at:], c.id)
			f.spend(c, length)
			sent, n = end, n+length
		} else {
			c.wait(payload)
		}
		at = end
	}
	written = c.transmit(frames[:sent], n)
	for len(c.pending) > 0 && c.sendPending() { // a window may have room for a part of a frame
	}
	return written
}

// wait keeps DATA until there is a window for it. mu is held.
func (c *call) wait(payload []byte) {
	f := c.front
	if len(c.pending) == 0 {
		c.moved = time.Now()
		f.watchStall()
	}
	c.pending = append(c.pending, payload...)
	f.queue(c)
}

// transmit sends DATA frames with n bytes, for which there is a window, and returns how many are written. mu is held.
func (c *call) transmit(frames []byte, n int) (written int) {
	f := c.front
	switch {
	case n == 0:
		return 0
	case len(frames) < stageBelow:
		f.out.stage(frames)
		return n
	case f.out.send(frames, c, n):
		return n
	}
	if c.unwritten == 0 {
		c.moved = time.Now()
		f.watchStall()
	}
	c.unwritten += n
	return 0
}

// wrote notes that n bytes of DATA that were queued are written.
func (c *call) wrote(n int) {
	f := c.front
	f.mu.Lock()
	c.unwritten -= n
	c.moved = time.Now()
	s := c.stream
	f.mu.Unlock()
	if s != nil {
		s.returned(n)
		s.backend.out.flush()
	}
}

// sendPending sends a part of the DATA that waits, as far as the windows allow, and tells whether it sent any. mu is held.
func (c *call) sendPending() bool {
	f := c.front
	n := f.room(c, min(len(c.pending), maxFrame))
	if n == 0 {
		return false
	}
	f.spend(c, n)
	frame := chunks.Get().(*chunk)
	frame.bytes = append(appendHead(frame.bytes, n, http2.FrameData, 0, c.id), c.pending[:n]...)
	if c.pending = c.pending[n:]; len(c.pending) == 0 {
		c.pending = nil
	}
	c.moved = time.Now()
	written := c.transmit(frame.bytes, n)
	frame.bytes = frame.bytes[:0]
	chunks.Put(frame)
	if c.stream.returned(written); written > 0 && c.stream != nil {
		c.stream.backend.out.flush()
	}
	c.sendTrailer()
	return true
}

// reset implements receiver.
func (c *call) reset(code http2.ErrCode) {
	c.end(resetStatus(code))
}

// lost implements receiver.
func (c *call) lost(err error) {
	c.end(codes.Unavailable, err.Error())
}

// halfDone implements receiver.
func (c *call) halfDone() {
	c.end(codes.Internal, "server closed the stream without sending trailers")
}

// end ends a call to which the storage will not answer.
func (c *call) end(code codes.Code, message string) {
	f := c.front
	f.mu.Lock()
	switch {
	case c.state != diverted:
	case !c.d.Deadline.IsZero() && time.Until(c.d.Deadline) < tickEvery: // the storage may have noticed it first
		c.finish(codes.DeadlineExceeded, lateMessage, nil)
	case !c.answered:
		c.takeBack(message)
	default:
		c.finish(code, message, nil)
	}
	f.unlock()
	f.out.flush()
}

// lateMessage is gRPC's message for a deadline that has passed.
const lateMessage = "context deadline exceeded"

// expired implements receiver.
func (c *call) expired() {
	f := c.front
	f.mu.Lock()
	if c.state == diverted {
		c.finish(codes.DeadlineExceeded, lateMessage, nil)
	}
	f.unlock()
	f.out.flush()
}

// flush implements receiver.
func (c *call) flush() { c.front.out.flush() }
