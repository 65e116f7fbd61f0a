package frames

import (
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

const (
	// maxSpill is how many bytes for gRPC's server are kept before the parsing pauses: encoded headers are larger than the
	// client's.
	maxSpill = 256 << 10
	// keptSpill is how large a spill may be that an idle connection keeps.
	keptSpill = 4 << 10
)

// inbound has the bytes that the client sends, on their way to gRPC's server. Only the goroutine that reads uses it.
//
// The bytes are parsed in the buffer of gRPC's server into which they were read, and rewritten there: removed frames leave room.
// Bytes that do not fit, such as headers that were encoded again, goes to the spill, and so does all that follows it in that buffer.
type inbound struct {
	front     *Front
	decoder   *decoder // nil before the first header block
	maxHeader int      // size of the largest header list, once there is a decoder
	fields    []byte   // scratch for encoding

	preface int  // bytes of the preface that are still to come
	raw     bool // gRPC's server ends the connection when it reads the frame: all passes
	head    [headLen]byte
	filled  int // bytes of head that are known
	frame   head
	left    int // bytes of the payload of frame that are still to come
	mode    mode
	payload []byte // of a frame that is collected, as far as it came in earlier reads

	settled bool // the client has begun with SETTINGS

	block     []byte // of a header block whose CONTINUATION is still to come
	blockHead head   // its HEADERS frame; id 0 for none
	parts     int    // frames of it

	buf   []byte // being rewritten; nil if there is none
	used  int    // bytes at the beginning of buf that are rewritten
	safe  int    // bytes at the beginning of buf that may be overwritten
	spill []byte
	taken int    // bytes of spill that were taken
	rest  []byte // read, and not yet parsed

	touched []*Backend // were sent a call in this batch
}

// mode says where the payload of a frame goes.
type mode int

const (
	collect mode = iota // it is needed as a whole
	pass                // gRPC's server gets it as it comes
	skip                // it is dropped
)

// take copies the spill to p.
func (in *inbound) take(p []byte) int {
	n := copy(p, in.spill[in.taken:])
	if in.taken += n; in.taken == len(in.spill) {
		in.spill, in.taken = in.spill[:0], 0
		if cap(in.spill) > keptSpill {
			in.spill = nil
		}
	}
	return n
}

// deferred parses the bytes that were read before, and passes calls that wait for it, once there is room.
func (in *inbound) deferred() error {
	if len(in.spill) > 0 {
		return nil
	}
	in.front.passWaiting()
	if len(in.rest) == 0 {
		return nil
	}
	rest := in.rest
	in.rest = nil
	_, err := in.feed(rest, false)
	in.endBatch()
	return err
}

// feed parses b. If it is in place, the first bytes of b then are for gRPC's server, as many as feed returns.
func (in *inbound) feed(b []byte, inPlace bool) (int, error) {
	in.buf, in.used, in.safe = nil, 0, 0
	if inPlace {
		in.buf = b
	}
	for at := 0; at < len(b); {
		var n int
		switch {
		case in.preface > 0:
			n = min(in.preface, len(b)-at)
			in.preface -= n
			in.emitPart(b[at:at+n], at)
		case in.raw:
			n = len(b) - at
			in.emitPart(b[at:], at)
		case in.filled < headLen:
			if in.filled == 0 && len(in.spill) > maxSpill {
				in.rest = append([]byte(nil), b[at:]...)
				return in.used, nil
			}
			n = copy(in.head[in.filled:], b[at:])
			in.filled += n
			in.safe = at + n
			if in.filled == headLen {
				in.frame = parseHead(in.head[:])
				in.left = in.frame.length
				if err := in.begin(); err != nil {
					return 0, err
				}
				if in.left == 0 && !in.raw {
					if err := in.end(nil); err != nil {
						return 0, err
					}
				}
			}
		default:
			n = min(in.left, len(b)-at)
			in.left -= n
			in.safe = at
			if err := in.part(b[at:at+n], at); err != nil {
				return 0, err
			}
		}
		at += n
		in.safe = at
	}
	return in.used, nil
}

// begin looks at the head of a frame.
func (in *inbound) begin() error {
	h := in.frame
	continues := h.typ == http2.FrameContinuation && h.id == in.blockHead.id
	switch {
	case in.blockHead.id != 0 && !continues:
		return errProtocol
	case !in.settled && h.typ != http2.FrameSettings, h.length > maxFrame, h.id == 0 && in.blockHead.id == 0 && (h.typ == http2.FrameData || h.typ == http2.FrameHeaders),
		h.typ == http2.FrameContinuation && in.blockHead.id == 0:
		if in.front.gracefully() { // nothing reads what follows
			return errProtocol
		}
		in.raw = true // and gRPC's server refuses it
		in.emit(in.head[:])
		return nil
	}
	in.settled = true
	in.mode = collect
	if h.typ == http2.FrameData {
		in.mode = in.front.beginData(in, h)
	}
	return nil
}

// part handles a part of the payload, which begins at an offset of the buffer.
func (in *inbound) part(b []byte, at int) error {
	switch {
	case in.mode == pass:
		in.emitPart(b, at)
		b = nil
	case in.mode == skip:
		b = nil
	case in.left > 0 || len(in.payload) > 0:
		in.payload = append(in.payload, b...)
		b = in.payload
	}
	if in.left > 0 {
		return nil
	}
	err := in.end(b)
	if in.payload = in.payload[:0]; cap(in.payload) > keptSpill {
		in.payload = nil
	}
	return err
}

// end handles a frame that is whole.
func (in *inbound) end(payload []byte) error {
	in.filled = 0
	if in.mode != collect {
		return nil
	}
	return in.front.handle(in, in.frame, payload)
}

// emit gives b, which is not in the buffer, to gRPC's server.
func (in *inbound) emit(b []byte) {
	if len(in.spill) == 0 && in.buf != nil && in.used+len(b) <= in.safe {
		in.used += copy(in.buf[in.used:], b)
		return
	}
	in.spillOver(b)
}

// emitPart gives b, which begins at an offset of the buffer, to gRPC's server.
func (in *inbound) emitPart(b []byte, at int) {
	switch {
	case len(in.spill) > 0 || in.buf == nil:
		in.spillOver(b)
	case in.used == at: // it is where it belongs
		in.used += len(b)
	default:
		in.used += copy(in.buf[in.used:], b)
	}
}

func (in *inbound) spillOver(b []byte) { in.spill = append(in.spill, b...) }

// emitFrame gives a frame as it came to gRPC's server, but for its stream id.
func (in *inbound) emitFrame(h head, payload []byte) {
	var b [headLen + 16]byte
	frame := appendHead(b[:0], h.length, h.typ, h.flags, h.id)
	if len(payload) <= 16 {
		in.emit(append(frame, payload...))
		return
	}
	in.emit(frame)
	if len(in.payload) > 0 {
		in.emit(payload) // it was collected
		return
	}
	in.emitPart(payload, in.safe)
}

// emitHeaders gives a header block to gRPC's server.
func (in *inbound) emitHeaders(id uint32, flags http2.Flags, fields []hpack.HeaderField) {
	block := appendFields(in.fields[:0], fields)
	n := len(block)
	frames := appendHeaders(block, id, flags, block)
	in.emit(frames[n:])
	if in.fields = frames[:0]; cap(frames) > keptSpill {
		in.fields = nil
	}
}

// endBatch sends the parsed frames to the storages and the client.
func (in *inbound) endBatch() {
	for i, b := range in.touched {
		b.out.flush()
		in.touched[i] = nil
	}
	in.touched = in.touched[:0]
	in.front.out.flush()
	in.front.watchHeld()
}
