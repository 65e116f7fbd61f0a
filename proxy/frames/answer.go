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
	if c.isOver() {
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
	if c.isOver() {
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

// forward sends DATA frames whose messages are whole, as far as the windows allow, and returns how many bytes of DATA are written. mu is held.
func (c *call) forward(frames []byte) (written int) {
	f := c.front
	sent, n := 0, 0
	for at := 0; at < len(frames); {
		length := parseHead(frames[at:]).length
		end := at + headLen + length
		payload := frames[at+headLen : end]
		ended := c.messages.add(payload)
		if ended < length && c.loose() {
			ended = length
		}
		if sent == at && ended == length && c.backlog.empty() && f.room(c, length) == length {
			putID(frames[at:], c.id)
			f.spend(c, length)
			sent, n = end, n+length
		} else {
			c.wait(payload, ended)
		}
		at = end
	}
	written = c.transmit(frames[:sent], n)
	for c.sendBacklog() { // a window may have room for a part of a frame
	}
	return written
}

// maxWhole is the size of the largest message that is sent only once all of it has arrived: those of Gitaly have hardly more than
// 1 MiB. A storage that is lost in the middle of a message would leave a part of it to the client, to whom that is a broken answer
// (INTERNAL in Go) and no lost storage (UNAVAILABLE).
const maxWhole = 2 << 20

// loose tells whether the message that is not whole is sent in pieces: it is very large, or the storage may not send all of it ahead of
// the client. mu is held.
func (c *call) loose() bool {
	m := &c.messages
	size := 2 * m.size() // the next one may begin to come meanwhile
	switch {
	case m.loose || size <= c.fitted:
	case size > 2*maxWhole:
		m.loose = true
	case c.stream.fit(max(size, laterWindow)): // an answer with a large message is a large answer
		c.fitted = max(size, laterWindow)
	case c.stream.fit(size):
		c.fitted = size
	default:
		m.loose = true
	}
	return m.loose
}

// wait keeps DATA until there is a window for it, and what follows its first bytes until its message is whole. mu is held.
func (c *call) wait(payload []byte, ended int) {
	waited := c.waits()
	c.backlog.begin(c.fitted >= laterWindow)
	c.backlog.add(c.id, payload[:ended], ended > 0)
	c.backlog.add(c.id, payload[ended:], false)
	if !waited {
		c.waitsNow()
	}
}

// waitsNow has the call wait in turn, if it has something to send. mu is held.
func (c *call) waitsNow() {
	if c.waits() {
		c.moved = time.Now()
		c.front.watchStall()
		c.front.queue(c)
	}
}

// letGo sends a message whose rest will not come: the storage has ended its answer so. mu is held.
func (c *call) letGo() {
	waited := c.waits()
	c.backlog.letGo()
	for c.sendBacklog() {
	}
	if !waited {
		c.waitsNow()
	}
}

// transmit sends DATA frames with n bytes, for which there is a window, and returns how many are written. mu is held.
func (c *call) transmit(frames []byte, n int) (written int) {
	f := c.front
	switch {
	case n == 0:
		return 0
	case len(frames) < stageBelow && f.out.stageData(frames):
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

// sendBacklog sends DATA that waits, as far as the windows allow, and tells whether it sent any. mu is held.
func (c *call) sendBacklog() bool {
	f := c.front
	room := f.room(c, maxWindow)
	if room == 0 || !c.waits() {
		return false
	}
	var written int
	if frames, n := c.backlog.frames(room); n > 0 {
		f.spend(c, n)
		written = c.transmit(frames, n)
		c.backlog.sent(len(frames))
	} else {
		f.spend(c, room)
		frame := chunks.Get().(*chunk)
		frame.bytes = c.backlog.part(frame.bytes, c.id, room)
		written = c.transmit(frame.bytes, room)
		frame.bytes = frame.bytes[:0]
		chunks.Put(frame)
		c.backlog.sentPart(c.id, room)
	}
	c.moved = time.Now()
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
	case c.isOver():
	case !c.d.Deadline.IsZero() && time.Until(c.d.Deadline) < tickEvery: // the storage may have noticed it first
		c.late()
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
	if !c.isOver() {
		c.late()
	}
	f.unlock()
	f.out.flush()
}

// flush implements receiver.
func (c *call) flush() { c.front.out.flush() }
