package frames

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

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

// unary is the receiver of Call. The reader of the Backend has its fields until done is closed.
type unary struct {
	opened chan struct{} // closed when stream is set
	stream *stream
	done   chan struct{}
	over   bool
	reply  []byte
	status *status.Status
	err    error
}

func (u *unary) end(err error) {
	if !u.over {
		u.over, u.err = true, err
		close(u.done)
	}
}

func (u *unary) headers(fields []hpack.HeaderField, end bool) bool {
	if !end {
		return true
	}
	code, message, ok := statusOf(fields)
	if !ok {
		u.end(errors.New("the storage sent no valid grpc-status"))
		return false
	}
	u.status = status.New(code, message)
	u.end(nil)
	return true
}

func (u *unary) data(frames []byte) bool {
	n := 0
	for len(frames) > 0 {
		length := parseHead(frames).length
		u.reply = append(u.reply, frames[headLen:headLen+length]...)
		frames = frames[headLen+length:]
		n += length
	}
	if len(u.reply) > maxReply {
		u.end(fmt.Errorf("the storage's answer is larger than %d bytes", maxReply))
		return false
	}
	<-u.opened
	u.stream.returned(n)
	return true
}

func (u *unary) halfDone()                { u.end(errors.New("the storage sent no status")) }
func (u *unary) reset(code http2.ErrCode) { _, m := resetStatus(code); u.end(errors.New(m)) }
func (u *unary) lost(err error)           { u.end(err) }
func (u *unary) expired()                 { u.end(context.DeadlineExceeded) }
func (u *unary) flush()                   {}
