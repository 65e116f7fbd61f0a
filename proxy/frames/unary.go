package frames

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxReply bounds the answer of a call of Call.
const maxReply = 1 << 20

// Call makes a unary call of the caller's own. fields are as in Diversion; the deadline is that of ctx. The error says that the
// storage sent no status; ErrFull, that the Backend has no room.
func (b *Backend) Call(ctx context.Context, fields []hpack.HeaderField, message []byte) (reply []byte, st *status.Status, err error) {
	deadline, _ := ctx.Deadline()
	u := &unary{done: make(chan struct{}), opened: make(chan struct{})}
	u.stream, err = b.open(u, fields, [][]byte{message}, deadline)
	if err != nil {
		return nil, nil, err
	}
	close(u.opened)
	b.out.flush()
	select {
	case <-u.done:
	case <-ctx.Done():
		u.stream.cancel(cancelled)
		return nil, nil, ctx.Err()
	}
	switch {
	case u.err != nil:
		return nil, nil, u.err
	case u.status.Code() != codes.OK:
		return nil, u.status, nil
	case len(u.reply) < prefixLen || u.reply[0] != 0 || int64(binary.BigEndian.Uint32(u.reply[1:])) != int64(len(u.reply)-prefixLen):
		return nil, nil, errors.New("the storage's answer is not one message")
	}
	return u.reply[prefixLen:], u.status, nil
}

// unary is the receiver of Call.
type unary struct {
	opened chan struct{} // closed when stream is set
	stream *stream
	done   chan struct{} // closed when the fields below do not change any more

	mu     sync.Mutex
	over   bool // guarded by mu, as is all that follows
	reply  []byte
	status *status.Status
	err    error
}

func (u *unary) end(st *status.Status, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		u.over, u.status, u.err = true, st, err
		close(u.done)
	}
}

// add keeps DATA, and tells whether there is room for it.
func (u *unary) add(frames []byte) (n int, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, false
	}
	for len(frames) > 0 {
		length := parseHead(frames).length
		u.reply = append(u.reply, frames[headLen:headLen+length]...)
		frames = frames[headLen+length:]
		n += length
	}
	return n, len(u.reply) <= maxReply
}

func (u *unary) headers(fields []hpack.HeaderField, end bool) bool {
	if !end {
		return true
	}
	code, message, ok := statusOf(fields)
	if !ok {
		u.end(nil, errors.New("the storage sent no valid grpc-status"))
		return false
	}
	u.end(status.New(code, message), nil)
	return true
}

func (u *unary) data(frames []byte) bool {
	n, ok := u.add(frames)
	if !ok {
		u.end(nil, fmt.Errorf("the storage's answer is larger than %d bytes", maxReply))
		return false
	}
	<-u.opened
	u.stream.returned(n)
	return true
}

func (u *unary) reset(code http2.ErrCode) {
	_, message := resetStatus(code)
	u.end(nil, errors.New(message))
}

func (u *unary) halfDone()      { u.end(nil, errors.New("the storage sent no status")) }
func (u *unary) lost(err error) { u.end(nil, err) }
func (u *unary) expired()       { u.end(nil, context.DeadlineExceeded) }
func (u *unary) yield()         {} // it asks this storage
func (u *unary) flush()         {}

func (u *unary) extend(int64) bool { return true }
