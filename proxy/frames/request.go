package frames

import (
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// open sends a call with one message. It is written at the end of the caller's batch, which flushes b.out.
func (b *Backend) open(to receiver, fields []hpack.HeaderField, message [][]byte, deadline time.Time) (*stream, error) {
	size := int64(0)
	for _, m := range message {
		size += int64(len(m))
	}
	var left time.Duration
	if !deadline.IsZero() {
		if left = time.Until(deadline); left <= 0 {
			return nil, errExpired
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.away == nil && b.nextID > lastID {
		b.leaveLocked(errAway)
	}
	switch {
	case b.away != nil:
		return nil, b.away
	case uint64(len(b.streams)) >= uint64(b.maxStreams), size+prefixLen > min(b.window, b.initial),
		b.maxList > 0 && listSize(fields) > b.maxList, b.out.length() > maxBackendQueue/8:
		return nil, ErrFull
	}
	s := &stream{backend: b, id: b.nextID, to: to, deadline: deadline, window: firstWindow, limit: firstWindow}
	b.nextID += 2
	b.streams[s.id] = s
	b.window -= size + prefixLen
	b.stageRequest(s.id, fields, left, message, int(size))
	b.tick()
	return s, nil
}

// stageRequest encodes the frames of a call. mu is held, so that the ids are in order.
func (b *Backend) stageRequest(id uint32, fields []hpack.HeaderField, left time.Duration, message [][]byte, size int) {
	block := appendFields(b.scratch[:0], fields)
	if left > 0 {
		block = appendField(block, hpack.HeaderField{Name: "grpc-timeout", Value: timeoutValue(left)})
	}
	n := len(block)
	out := appendHeaders(block, id, 0, block)
	at := len(out)
	out = binary.BigEndian.AppendUint32(append(out, 0), uint32(size))
	for _, m := range message {
		out = append(out, m...)
	}
	if size+prefixLen <= maxFrame { // most are: the head goes before the message
		out = append(out, make([]byte, headLen)...)
		copy(out[at+headLen:], out[at:])
		appendHead(out[:at], size+prefixLen, http2.FrameData, http2.FlagDataEndStream, id)
		b.out.stage(out[n:])
	} else {
		b.out.stage(out[n:at])
		b.out.stage(appendData(nil, id, http2.FlagDataEndStream, out[at:]))
	}
	if b.scratch = out[:0]; cap(out) > maxFirst {
		b.scratch = nil
	}
}

// cancel takes a stream back. The receiver hears nothing more, but for frames that are being delivered.
func (s *stream) cancel(code http2.ErrCode) {
	if s == nil { // the call is answered here
		return
	}
	b := s.backend
	b.mu.Lock()
	known := b.forget(s)
	b.mu.Unlock()
	if known {
		b.out.send(appendReset(nil, s.id, code), nil, 0)
	}
}

// forget drops a stream, and tells whether it was there. mu is held.
func (b *Backend) forget(s *stream) bool {
	if s.gone {
		return false
	}
	s.gone = true
	delete(b.streams, s.id)
	if b.away != nil && len(b.streams) == 0 {
		go b.Close(b.away) // not under the locks of the caller
	}
	return true
}

// returned notes that n bytes of an answer were written to the client, so that the storage may send as many again.
func (s *stream) returned(n int) {
	if n == 0 || s == nil {
		return
	}
	b := s.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone {
		return
	}
	s.unpaid += int64(n)
	if s.total += int64(n); s.total >= laterAfter {
		s.enlarge(laterWindow)
	}
	s.open()
}

// open enlarges the window if that is worth a frame. The backend's mu is held.
func (s *stream) open() {
	if s.unpaid < s.limit/4 {
		return
	}
	var update [headLen + 4]byte
	s.backend.out.stage(appendWindowUpdate(update[:0], s.id, s.unpaid))
	s.window += s.unpaid
	s.unpaid = 0
}

// fit makes the window at least n, so that a storage can send so much of which the client gets nothing yet. It returns false if that is
// not to be.
func (s *stream) fit(n int64) bool {
	if s == nil { // the call is answered here, with all of the message
		return true
	}
	b := s.backend
	b.mu.Lock()
	defer b.mu.Unlock()
	if s.gone {
		return true
	}
	ok := s.enlarge(n)
	s.open()
	return ok
}

// enlarge has the window enlarged to n at least, as far as its receiver allows. The backend's mu is held.
func (s *stream) enlarge(n int64) (ok bool) {
	more := n - s.limit
	if more <= 0 {
		return true
	}
	if ok = s.to.extend(more); ok {
		s.limit += more
		s.unpaid += more
	}
	return ok
}
