package frames

import (
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// beginData decides where a DATA frame goes of the client.
func (f *Front) beginData(in *inbound, h head) mode {
	f.mu.Lock()
	if c := f.calls[h.id]; c != nil {
		isHeld := c.state == held
		f.mu.Unlock()
		if isHeld {
			return collect
		}
		f.repay(int64(h.length)) // the client had ended the stream
		return skip
	}
	p := f.passed[h.id]
	if p == nil || f.closing != nil {
		f.mu.Unlock()
		f.repay(int64(h.length)) // of a call that is over
		return skip
	}
	inner := p.inner
	if h.flags.Has(http2.FlagDataEndStream) {
		f.clientDone(p)
		f.moveOn() // less of the window may be for gRPC's server
	}
	f.unlock()
	putID(in.head[:], inner)
	in.emit(in.head[:])
	return pass
}

// handle looks at a whole frame of the client.
func (f *Front) handle(in *inbound, h head, payload []byte) error {
	switch h.typ {
	case http2.FrameData:
		return f.heldData(in, h, payload)
	case http2.FrameHeaders, http2.FrameContinuation:
		return f.headerFrame(in, h, payload)
	case http2.FrameSettings:
		return f.settings(in, h, payload)
	case http2.FramePing:
		f.ping(in, h, payload)
		return nil
	case http2.FrameWindowUpdate:
		if h.length == 4 {
			return f.windowUpdate(in, h, increment(payload))
		}
	case http2.FrameRSTStream:
		if h.length == 4 && h.id != 0 {
			f.reset(in, h, payload)
			return nil
		}
	case http2.FramePriority:
		if h.length == 5 && h.id != 0 {
			return nil // gRPC's server has no use for it
		}
	}
	f.emitOwn(in, h, payload)
	return nil
}

// emitOwn passes a frame that belongs to no call, or that gRPC's server must refuse.
func (f *Front) emitOwn(in *inbound, h head, payload []byte) {
	if !f.gracefully() {
		in.emitFrame(h, payload)
	}
}

// headerFrame collects a header block.
func (f *Front) headerFrame(in *inbound, h head, payload []byte) error {
	if h.typ == http2.FrameHeaders {
		if err := in.learn(); err != nil {
			return err
		}
		part, err := fragment(h, payload)
		if err != nil {
			return err
		}
		if h.flags.Has(http2.FlagHeadersEndHeaders) {
			return f.headers(in, h, part)
		}
		in.blockHead, in.block, in.parts = h, append(in.block[:0], part...), 1
		return nil
	}
	in.block = append(in.block, payload...)
	if in.parts++; len(in.block)+in.parts*headLen > 2*in.maxHeader { // empty frames too
		return errProtocol
	}
	if !h.flags.Has(http2.FlagContinuationEndHeaders) {
		return nil
	}
	h, block := in.blockHead, in.block
	in.blockHead, in.block = head{}, nil
	return f.headers(in, h, block)
}

// maxUnread is how many bytes may wait for a client that reads nothing before its calls are passed: gRPC's server counts a call
// until its answer is written, but a diverted one ends when its answer is queued.
const maxUnread = 8 << 20

// illegalID is a stream id that makes gRPC's server refuse the connection as it refuses headers that begin no call.
const illegalID = 2

// headers begins a call.
func (f *Front) headers(in *inbound, h head, block []byte) error {
	fields, tooLarge, err := in.decoder.decode(block)
	if err != nil {
		return err
	}
	end := h.flags & http2.FlagHeadersEndStream
	f.mu.Lock()
	if h.id%2 == 0 || h.id <= f.maxID { // trailers, which clients of gRPC do not send, or nonsense
		c, p := f.calls[h.id], f.passed[h.id]
		closing, isHeld := f.closing != nil, c != nil && c.state == held
		f.mu.Unlock()
		id := uint32(illegalID)
		switch {
		case closing:
			return nil
		case isHeld:
			f.passCall(in, c, 0, Message)
			id = f.innerOf(c.id)
		case p != nil:
			id = p.inner
		}
		in.emitHeaders(id, end, fields)
		return nil
	}
	f.maxID = h.id
	if f.away { // the client did not know yet, and calls again elsewhere
		f.mu.Unlock()
		return nil
	}
	if tooLarge {
		f.mu.Unlock()
		f.out.stage(appendReset(nil, h.id, http2.ErrCodeFrameSize))
		return nil
	}
	if int64(len(f.calls)+len(f.passed)) >= f.limits.streams { // gRPC's server knows only of its own
		f.mu.Unlock()
		f.out.stage(appendReset(nil, h.id, http2.ErrCodeRefusedStream))
		return nil
	}
	f.mu.Unlock()
	if end == 0 {
		if kept, ok := f.policy.May(f.Conn, fields); ok {
			why := f.mayHold(in, fields)
			if why == "" {
				in.decoder.keep()
				f.hold(h.id, fields, kept)
				return nil
			}
			f.policy.Passed(kept, why)
		}
	}
	f.mu.Lock()
	inner := f.begin(h.id)
	if end != 0 {
		f.clientDone(f.passed[h.id])
	}
	f.mu.Unlock()
	in.emitHeaders(inner, end, fields)
	return nil
}

// maxList is the size of the longest header list of a call that is held: such lists are kept until the call ends, and those of
// GitLab's clients have a few KiB.
const maxList = 16 << 10

// mayHold says why a call is not held; empty if it is.
func (f *Front) mayHold(in *inbound, fields []hpack.HeaderField) Why {
	f.mu.Lock()
	bound := len(f.holding) >= f.cfg.Held || f.windows.noTable
	f.mu.Unlock()
	switch {
	case in.decoder.size > maxList || !plain(fields):
		return Headers
	case bound || f.out.length() >= maxUnread:
		return Bound
	}
	return ""
}

// plain tells whether headers belong to an ordinary call of gRPC without compression.
func plain(fields []hpack.HeaderField) bool {
	var method, path, authority int
	grpc, regular := false, false
	for _, f := range fields {
		if f.Name == "" || f.Name[0] == ':' && regular {
			return false
		}
		regular = regular || f.Name[0] != ':'
		switch f.Name {
		case ":method":
			method++
			if f.Value != "POST" {
				return false
			}
		case ":path":
			path++
		case ":authority":
			authority++
		case ":scheme", "te":
		case "content-type":
			if grpc || !isGRPC(f.Value) || f.Value != strings.ToLower(f.Value) || strings.Contains(f.Value, ";") {
				return false
			}
			grpc = true
		case "grpc-encoding":
			if f.Value != "identity" {
				return false
			}
		case "grpc-timeout":
			if _, ok := Timeout(fields); !ok {
				return false
			}
		case "connection", "host":
			return false
		default:
			if !validField(f) {
				return false
			}
		}
	}
	return method == 1 && path == 1 && authority == 1 && grpc
}

// validField tells whether HTTP/2 allows a field that is no pseudo-header.
func validField(f hpack.HeaderField) bool {
	for i := 0; i < len(f.Name); i++ {
		c := f.Name[i]
		if c <= ' ' || c >= 0x7f || c == ':' || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	for i := 0; i < len(f.Value); i++ {
		if c := f.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// begin gives a call that is passed its inner id. mu is held.
func (f *Front) begin(id uint32) (inner uint32) {
	p := &passedCall{id: id, inner: f.nextInner}
	f.nextInner += 2
	f.passed[id], f.byInner[p.inner] = p, p
	return p.inner
}

func (f *Front) innerOf(id uint32) uint32 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p := f.passed[id]; p != nil {
		return p.inner
	}
	return illegalID
}

// clientDone notes that the client ended its side of a passed call. mu is held.
func (f *Front) clientDone(p *passedCall) {
	if p.clientDone = true; p.serverDone {
		f.forget(p)
	}
}

// forget drops a passed call that is over. mu is held.
func (f *Front) forget(p *passedCall) {
	if f.passed[p.id] == p {
		delete(f.passed, p.id)
	}
	delete(f.byInner, p.inner)
}

// maxResets is how many calls that the client has reset are remembered because gRPC's server may not know it yet.
const maxResets = 1024

// reset handles a RST_STREAM of the client.
func (f *Front) reset(in *inbound, h head, payload []byte) {
	f.mu.Lock()
	if c := f.calls[h.id]; c != nil {
		c.abandon()
		f.unlock()
		return
	}
	p := f.passed[h.id]
	if p == nil || f.closing != nil {
		f.mu.Unlock()
		return
	}
	delete(f.passed, h.id) // byInner stays: gRPC's server may be sending frames of it
	p.clientDone = true
	if f.resets = append(f.resets, p); len(f.resets) > maxResets {
		delete(f.byInner, f.resets[0].inner)
		f.resets = f.resets[1:]
	}
	f.moveOn() // less of the window may be for gRPC's server
	f.unlock()
	h.id = p.inner
	in.emitFrame(h, payload)
}
