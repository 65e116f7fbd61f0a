package frames

import (
	"sync"

	"golang.org/x/net/http2"
)

// backlog is the DATA of a call that is not sent yet: it waits for a window of the client, or for the rest of its message. It is kept
// as frames, so that a message is written with one call.
type backlog struct {
	buf   *[]byte // from a pool; nil if there is nothing
	next  int     // where the first frame begins
	ready int     // where the frames end that may be sent: the rest of their messages has arrived
	last  int     // where the last frame begins
}

const (
	// smallBacklog is the size of a buffer for what a storage may send ahead of the client at first, and largeBacklog for the answer
	// to a call with the larger window; an eighth is for the heads of frames. A buffer that had to grow beyond is not kept for
	// another call.
	smallBacklog = firstWindow + firstWindow/8
	largeBacklog = laterWindow + laterWindow/8
)

var (
	smallBacklogs = sync.Pool{New: func() any { return newBuffer(smallBacklog) }}
	largeBacklogs = sync.Pool{New: func() any { return newBuffer(largeBacklog) }}
)

func newBuffer(size int) *[]byte {
	b := make([]byte, 0, size)
	return &b
}

// empty tells whether there is nothing.
func (b *backlog) empty() bool { return b.buf == nil }

// waits tells whether there is something that may be sent.
func (b *backlog) waits() bool { return b.ready > b.next }

// size is how many bytes are kept.
func (b *backlog) size() int {
	if b.buf == nil {
		return 0
	}
	return len(*b.buf) - b.next
}

// begin gets a buffer if there is nothing.
func (b *backlog) begin(large bool) {
	switch {
	case b.buf != nil:
	case large:
		b.buf = largeBacklogs.Get().(*[]byte)
	default:
		b.buf = smallBacklogs.Get().(*[]byte)
	}
}

// add appends at most maxFrame bytes of DATA. whole says that they, and all before them, may be sent. It follows begin.
func (b *backlog) add(id uint32, payload []byte, whole bool) {
	if len(payload) == 0 {
		return
	}
	buf := *b.buf
	if b.next > len(buf)/2 {
		n := copy(buf, buf[b.next:])
		buf = buf[:n]
		b.ready, b.last, b.next = b.ready-b.next, b.last-b.next, 0
	}
	had := 0
	if len(buf) > 0 {
		had = parseHead(buf[b.last:]).length
	}
	// Small frames are joined where both may be sent, or neither: their heads would take more room than they do.
	if n := had + len(payload); had > 0 && n <= maxFrame && (whole || b.last >= b.ready) {
		appendHead(buf[:b.last], n, http2.FrameData, 0, id)
		buf = append(buf, payload...)
	} else {
		b.last = len(buf)
		buf = append(appendHead(buf, len(payload), http2.FrameData, 0, id), payload...)
	}
	if *b.buf = buf; whole {
		b.ready = len(buf)
	}
}

// frames are the next frames that may be sent, with at most n bytes of DATA, and how many bytes of DATA they have.
func (b *backlog) frames(n int) (frames []byte, size int) {
	at := b.next
	for at < b.ready {
		length := parseHead((*b.buf)[at:]).length
		if size+length > n {
			break
		}
		size += length
		at += headLen + length
	}
	return (*b.buf)[b.next:at], size
}

// part appends a frame with the first n bytes of the next one, which is longer.
func (b *backlog) part(dst []byte, id uint32, n int) []byte {
	dst = appendHead(dst, n, http2.FrameData, 0, id)
	return append(dst, (*b.buf)[b.next+headLen:][:n]...)
}

// sent drops frames that are sent.
func (b *backlog) sent(frames int) {
	if b.next += frames; b.next == len(*b.buf) {
		b.drop()
	}
}

// sentPart drops the first n bytes of the next frame, which is longer. Its head moves over them.
func (b *backlog) sentPart(id uint32, n int) {
	at := b.next
	length := parseHead((*b.buf)[at:]).length
	if b.last == at {
		b.last = at + n
	}
	b.next = at + n
	appendHead((*b.buf)[:b.next], length-n, http2.FrameData, 0, id)
}

// letGo lets everything be sent.
func (b *backlog) letGo() {
	if b.buf != nil {
		b.ready = len(*b.buf)
	}
}

// cut drops the beginning of a message whose rest will not come. Nothing may be added after it.
func (b *backlog) cut() {
	if !b.waits() {
		b.drop()
		return
	}
	*b.buf = (*b.buf)[:b.ready]
}

// drop drops everything.
func (b *backlog) drop() {
	if b.buf == nil {
		return
	}
	*b.buf = (*b.buf)[:0]
	switch cap(*b.buf) {
	case smallBacklog:
		smallBacklogs.Put(b.buf)
	case largeBacklog:
		largeBacklogs.Put(b.buf)
	}
	*b = backlog{}
}
