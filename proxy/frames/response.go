package frames

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/net/http2"
)

// readSize is how many bytes of a storage are read at a time.
const readSize = 128 << 10

const cancelled = http2.ErrCodeCancel

// backendReader reads the frames that a storage sends. Its goroutine alone uses it.
type backendReader struct {
	b       *Backend
	decoder *decoder
	settled chan struct{} // closed with the first settings; nil after that
	unpaid  int64         // bytes that were read, and not yet returned to the window of the connection

	block     []byte // of a header block whose CONTINUATION is still to come
	blockHead head   // its HEADERS frame; id 0 for none
	parts     int    // frames of it

	run        *stream // DATA frames of it are gathered, to be delivered together
	runAt, end int     // where they are in the buffer
	touched    []receiver
}

func newBackendReader(b *Backend, settled chan struct{}) *backendReader {
	return &backendReader{b: b, decoder: newDecoder(b.cfg.MaxHeader), settled: settled}
}

// parse handles the frames at the beginning of buf that are whole, and returns how long they are.
func (r *backendReader) parse(buf []byte) (used int, err error) {
	for len(buf)-used >= headLen {
		h := parseHead(buf[used:])
		if h.length > maxFrame {
			return used, fmt.Errorf("%w: a frame of %d bytes", errProtocol, h.length)
		}
		end := used + headLen + h.length
		if end > len(buf) {
			break
		}
		if err := r.frame(h, buf, used, end); err != nil {
			return used, err
		}
		used = end
	}
	r.deliver(buf)
	return used, nil
}

// read reads until the connection ends.
func (r *backendReader) read() {
	err := r.loop()
	if reason := r.b.out.reason(); reason != nil {
		err = reason // a write has failed first
	}
	r.b.Close(err)
}

func (r *backendReader) loop() error {
	b := r.b
	buf := make([]byte, readSize)
	filled := 0
	for {
		n, err := b.conn.Read(buf[filled:])
		filled += n
		if n > 0 {
			b.lastRead.Store(time.Now().UnixNano())
			used, fault := r.parse(buf[:filled])
			r.flush()
			if fault != nil {
				return fault
			}
			filled = copy(buf, buf[used:filled])
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return errors.New("the storage has closed the connection")
		default:
			return err
		}
		if b.out.length() > maxBackendQueue {
			return errors.New("the storage takes nothing")
		}
	}
}

// flush ends a batch.
func (r *backendReader) flush() {
	for i, to := range r.touched {
		to.flush()
		r.touched[i] = nil
	}
	r.touched = r.touched[:0]
	if r.unpaid >= backendWindow/16 {
		r.b.out.stage(appendWindowUpdate(nil, 0, r.unpaid))
		r.unpaid = 0
	}
	r.b.out.flush()
}

// deliver hands the DATA frames on that were gathered.
func (r *backendReader) deliver(buf []byte) {
	s := r.run
	if s == nil {
		return
	}
	r.run = nil
	r.touch(s)
	if !s.to.data(buf[r.runAt:r.end]) {
		s.cancel(cancelled)
	}
}

func (r *backendReader) touch(s *stream) {
	if n := len(r.touched); n == 0 || r.touched[n-1] != s.to {
		r.touched = append(r.touched, s.to)
	}
}

// frame handles the frame at buf[at:end].
func (r *backendReader) frame(h head, buf []byte, at, end int) error {
	payload := buf[at+headLen : end]
	if r.blockHead.id != 0 && (h.typ != http2.FrameContinuation || h.id != r.blockHead.id) {
		return fmt.Errorf("%w: a header block is not whole", errProtocol)
	}
	if r.settled != nil && h.typ != http2.FrameSettings {
		return fmt.Errorf("%w: it begins with %v", errProtocol, h.typ)
	}
	if h.typ == http2.FrameData {
		return r.data(h, buf, at, end)
	}
	r.deliver(buf)
	b := r.b
	switch h.typ {
	case http2.FrameHeaders:
		part, err := fragment(h, payload)
		if err != nil || h.id == 0 {
			return errProtocol
		}
		if h.flags.Has(http2.FlagHeadersEndHeaders) {
			return r.headers(h, part)
		}
		r.blockHead, r.block, r.parts = h, append(r.block[:0], part...), 1
	case http2.FrameContinuation:
		r.block = append(r.block, payload...)
		if r.parts++; r.blockHead.id == 0 || len(r.block)+r.parts*headLen > 2*b.cfg.MaxHeader {
			return errProtocol
		}
		if h.flags.Has(http2.FlagContinuationEndHeaders) {
			h := r.blockHead
			r.blockHead = head{}
			return r.headers(h, r.block)
		}
	case http2.FrameSettings:
		return r.settings(h, payload)
	case http2.FramePing:
		if h.length != 8 {
			return errProtocol
		}
		if !h.flags.Has(http2.FlagPingAck) {
			b.out.stage(appendPing(nil, http2.FlagPingAck, payload))
		}
	case http2.FrameWindowUpdate:
		if h.length != 4 {
			return errProtocol
		}
		if h.id == 0 { // a request needs no more than the first window of its stream
			b.mu.Lock()
			b.window += increment(payload)
			b.mu.Unlock()
		}
	case http2.FrameRSTStream:
		if h.length != 4 {
			return errProtocol
		}
		if s := b.take(h.id); s != nil {
			s.to.reset(http2.ErrCode(binary.BigEndian.Uint32(payload)))
		}
	case http2.FrameGoAway:
		if h.length < 8 {
			return errProtocol
		}
		b.goAway(binary.BigEndian.Uint32(payload) & maxWindow)
	case http2.FramePushPromise:
		return errProtocol
	}
	return nil
}

// data handles a DATA frame.
func (r *backendReader) data(h head, buf []byte, at, end int) error {
	b := r.b
	r.unpaid += int64(h.length)
	b.mu.Lock()
	s := b.streams[h.id]
	if s == nil {
		ended := h.id == 0 || h.id >= b.nextID
		b.mu.Unlock()
		if ended {
			return fmt.Errorf("%w: DATA of no stream", errProtocol)
		}
		return nil // it was cancelled
	}
	s.window -= int64(h.length)
	over := s.window < 0
	b.mu.Unlock()
	if over {
		return fmt.Errorf("%w: more DATA than there is a window for", errProtocol)
	}
	if s != r.run || at != r.end || h.flags != 0 || h.length == 0 {
		r.deliver(buf)
	}
	switch {
	case h.flags.Has(http2.FlagDataPadded):
		payload, err := unpad(h, buf[at+headLen:end])
		if err != nil {
			return err
		}
		s.returned(h.length - len(payload))
		if len(payload) > 0 {
			frame := appendData(make([]byte, 0, headLen+len(payload)), h.id, 0, payload)
			r.run, r.runAt, r.end = s, 0, len(frame)
			r.deliver(frame)
		}
	case h.length > 0 && r.run == s:
		r.end = end
	case h.length > 0:
		buf[at+4] = 0 // END_STREAM is handled below
		r.run, r.runAt, r.end = s, at, end
	}
	if h.flags.Has(http2.FlagDataEndStream) {
		r.deliver(buf)
		if b.take(h.id) != nil {
			s.to.halfDone()
		}
	}
	return nil
}

// headers handles a header block that is whole.
func (r *backendReader) headers(h head, block []byte) error {
	fields, tooLarge, err := r.decoder.decode(block)
	if err != nil {
		return err
	}
	end := h.flags.Has(http2.FlagHeadersEndStream)
	b := r.b
	b.mu.Lock()
	s := b.streams[h.id]
	if s != nil && end {
		b.forget(s)
	}
	known := h.id < b.nextID
	b.mu.Unlock()
	switch {
	case !known:
		return fmt.Errorf("%w: headers of no stream", errProtocol)
	case s == nil:
		return nil
	case tooLarge:
		s.cancel(http2.ErrCodeFrameSize)
		s.to.reset(http2.ErrCodeFrameSize)
		return nil
	}
	if status := Value(fields, ":status"); len(status) == 3 && status[0] == '1' && !end {
		return nil // only informs
	}
	r.decoder.keep()
	r.touch(s)
	if !s.to.headers(fields, end) {
		s.cancel(cancelled)
	}
	return nil
}

// settings handles a SETTINGS frame.
func (r *backendReader) settings(h head, payload []byte) error {
	if h.id != 0 || h.length%6 != 0 {
		return errProtocol
	}
	if h.flags.Has(http2.FlagSettingsAck) {
		return nil
	}
	b := r.b
	b.mu.Lock()
	eachSetting(payload, func(id http2.SettingID, value uint32) {
		switch id {
		case http2.SettingMaxConcurrentStreams:
			b.maxStreams = value
		case http2.SettingInitialWindowSize:
			b.initial = int64(value)
		case http2.SettingMaxHeaderListSize:
			b.maxList = int64(value)
		}
	})
	b.mu.Unlock()
	b.out.stage(appendHead(nil, 0, http2.FrameSettings, http2.FlagSettingsAck, 0))
	if r.settled != nil {
		close(r.settled)
		r.settled = nil
	}
	return nil
}

// take drops a stream that the storage has ended; nil if there is none.
func (b *Backend) take(id uint32) *stream {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.streams[id]
	if s != nil {
		b.forget(s)
	}
	return s
}

// goAway stops taking calls, and ends the calls that the storage does not know.
func (b *Backend) goAway(last uint32) {
	b.mu.Lock()
	b.leaveLocked(errAway)
	var unknown []*stream
	for id, s := range b.streams {
		if id > last {
			unknown = append(unknown, s)
		}
	}
	for _, s := range unknown {
		b.forget(s)
	}
	idle := len(b.streams) == 0
	b.mu.Unlock()
	for _, s := range unknown {
		s.to.reset(http2.ErrCodeRefusedStream)
	}
	if idle {
		b.Close(errAway)
	}
}
