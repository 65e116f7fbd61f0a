package frames

import (
	"encoding/binary"
	"errors"
	"net"
	"sync"

	"golang.org/x/net/http2"
)

// outbound has the bytes that gRPC's server writes, on their way to the client. Only the goroutine that writes uses it.
type outbound struct {
	tail   []byte // the beginning of a frame, or of a header block, whose rest is still to come
	change bool   // something was changed, so that buf has the bytes to write
	buf    []byte
	pooled *[]byte // where buf is from
}

// buffers are for writes of gRPC's server, which are as large as its buffer.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

var (
	errServerFrame = errors.New("gRPC's server has sent a frame that is not understood here")
	errBlocked     = errors.New("the client begins calls, and opens no window for their answers")
)

// Write implements net.Conn: gRPC's server writes frames, in pieces as they come.
func (f *Front) Write(p []byte) (int, error) {
	o := &f.pre
	b := p
	if len(o.tail) > 0 {
		o.tail = append(o.tail, p...)
		b = o.tail
	}
	whole := wholeFrames(b)
	f.mu.Lock()
	if f.closed || f.closing != nil {
		f.mu.Unlock()
		return 0, net.ErrClosed
	}
	for at := 0; at < whole; {
		h := parseHead(b[at:])
		end := at + headLen + h.length
		if err := f.outgoing(b[:at], h, b[at:end]); err != nil {
			f.unlock()
			_ = f.cut(err)
			return 0, err
		}
		at = end
	}
	f.windows.writing = true
	f.unlock()

	var err error
	if out := b[:whole]; o.change {
		err = f.out.write(o.buf)
	} else if whole > 0 {
		err = f.out.write(out)
	}

	f.mu.Lock()
	f.windows.writing = false
	f.moveOn()
	f.unlock()
	f.out.flush()
	o.tail = append(o.tail[:0], b[whole:]...)
	if cap(o.tail) > keptSpill && len(o.tail) == 0 {
		o.tail = nil
	}
	if o.change {
		*o.pooled = o.buf
		buffers.Put(o.pooled)
		o.change, o.buf, o.pooled = false, nil, nil
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// wholeFrames is the length of the frames at the beginning of b that are whole. A header block counts as one frame.
func wholeFrames(b []byte) (whole int) {
	for at := 0; len(b)-at >= headLen; {
		h := parseHead(b[at:])
		at += headLen + h.length
		if at > len(b) {
			break
		}
		if (h.typ != http2.FrameHeaders && h.typ != http2.FrameContinuation) || h.flags.Has(http2.FlagHeadersEndHeaders) {
			whole = at
		}
	}
	return whole
}

// outgoing handles a frame of gRPC's server, which follows others in the same buffer. mu is held.
func (f *Front) outgoing(before []byte, h head, frame []byte) error {
	o := &f.pre
	id := h.id
	stream := h.id != 0
	w := &f.windows
	if stream {
		p := f.byInner[h.id]
		if p == nil { // the client has reset the call long ago
			o.begin(before)
			return f.unsent(h)
		}
		id = p.id
		f.serverFrame(p, h)
	}
	if h.typ == http2.FrameSettings {
		if err := f.limits.learn(frame[headLen:]); err != nil {
			return err
		}
	}
	if h.typ == http2.FrameGoAway && h.length >= 8 {
		o.begin(before)
		f.goAway(frame)
		return nil
	}
	ordered := stream && h.typ != http2.FrameWindowUpdate
	wait := ordered && len(w.blocked) > 0
	if h.typ == http2.FrameData && !wait {
		if wait = int64(h.length) > w.conn; !wait {
			w.conn -= int64(h.length)
		}
	}
	switch {
	case wait && len(w.blocked) > maxBlocked:
		return errBlocked
	case wait:
		o.begin(before)
		at := len(w.blocked)
		w.blocked = append(w.blocked, frame...)
		putID(w.blocked[at:], id)
	case o.change, id != h.id:
		o.begin(before)
		at := len(o.buf)
		o.buf = append(o.buf, frame...)
		putID(o.buf[at:], id)
	}
	return nil
}

// begin copies the frames that were not changed, so that the following ones can be.
func (o *outbound) begin(before []byte) {
	if !o.change {
		o.change = true
		o.pooled = buffers.Get().(*[]byte)
		o.buf = append((*o.pooled)[:0], before...)
	}
}

// serverFrame notes which side of a call a frame of gRPC's server ends. mu is held.
func (f *Front) serverFrame(p *passedCall, h head) {
	ends := (h.typ == http2.FrameData || h.typ == http2.FrameHeaders) && h.flags.Has(http2.FlagDataEndStream)
	if ends {
		p.serverDone = true
	}
	more := (h.typ == http2.FrameHeaders || h.typ == http2.FrameContinuation) && !h.flags.Has(http2.FlagHeadersEndHeaders)
	if h.typ == http2.FrameRSTStream || p.serverDone && p.clientDone && !more {
		f.forget(p)
	}
}

// unsent drops a frame whose call is forgotten. mu is held.
func (f *Front) unsent(h head) error {
	switch h.typ {
	case http2.FrameData:
		f.owed += int64(h.length) // its window is as it was
	case http2.FrameHeaders, http2.FrameContinuation:
		return errServerFrame // it may change the state of the client's decoder
	}
	return nil
}

// goAway replaces the last stream id in a GOAWAY frame of gRPC's server. mu is held.
func (f *Front) goAway(frame []byte) {
	o := &f.pre
	last := binary.BigEndian.Uint32(frame[headLen:]) & maxWindow
	at := len(o.buf)
	o.buf = append(o.buf, frame...)
	if last == maxWindow { // the announcement: there will be another
		return
	}
	if !f.away {
		f.away, f.lastID = true, f.maxID
		f.graceful = http2.ErrCode(binary.BigEndian.Uint32(frame[headLen+4:])) == http2.ErrCodeNo
	}
	binary.BigEndian.PutUint32(o.buf[at+headLen:], f.lastID)
	for _, p := range f.passed {
		if p.inner > last { // was passed too late, and gRPC's server ignores it
			o.buf = appendReset(o.buf, p.id, http2.ErrCodeRefusedStream)
			f.forget(p)
		}
	}
}
