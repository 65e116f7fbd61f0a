package frames

import (
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// callState says where a call is.
type callState int

const (
	held     callState = iota // its message is not yet whole
	asked                     // the policy is being asked where it goes
	diverted                  // a Backend has it
	passing                   // its storage was lost, and the reader will pass it
	passed                    // gRPC's server has it
	ended
)

// call is a call that is not gRPC's: it is held or diverted. The front's mu guards its fields but the first five and granted.
type call struct {
	front  *Front
	id     uint32 // the client's
	fields []hpack.HeaderField
	kept   any // the policy's
	first  []byte

	d       *Diversion
	state   callState
	stream  *stream // nil if the call is answered here
	padding int64   // of the client's DATA
	empty   int     // DATA frames of the client without bytes
	extra   int64   // by which the client has enlarged the window
	window  int64   // the client's

	granted atomic.Int64 // bytes that the storage may send ahead of the client; -1 after the call has left the front

	answered  bool // a frame was sent to the client, or is about to be
	messages  messages
	fitted    int64 // the storage may send so much of which the client gets nothing yet
	backlog   backlog
	queued    bool   // the call is in windows.waiting
	trailer   []byte // frames that end the call, once the backlog is sent
	unwritten int    // bytes of DATA that wait for the socket
	moved     time.Time
	result    Result
}

// open gives the call to its Backend or its policy, or says why it does not. mu is held.
func (c *call) open(d *Diversion) Why {
	f := c.front
	c.window = f.windows.initial + c.extra
	if d.Serve != nil {
		f.watchDeadline(d.Deadline)
	} else if why := c.send(d); why != "" {
		c.state = held
		return why
	}
	f.release(c)
	f.diverted++
	c.state, c.d = diverted, d
	c.result.Sent = time.Now()
	for _, m := range d.Message {
		c.result.RequestBytes += int64(len(m))
	}
	return ""
}

// send gives the call to a Backend. mu is held.
func (c *call) send(d *Diversion) Why {
	f := c.front
	if !f.reserve(firstWindow, f.cfg.Ahead) {
		return Bound
	}
	s, err := d.Backend.open(c, d.Fields, d.Message, d.Deadline)
	if err != nil {
		f.ahead.Add(-firstWindow)
		return Full
	}
	c.granted.Store(firstWindow)
	c.fitted = firstWindow
	c.stream = s
	d.Taken()
	return ""
}

// reserve has storages send n more bytes ahead of the client, unless that were more than most.
func (f *Front) reserve(n, most int64) bool {
	for {
		had := f.ahead.Load()
		if had+n > most {
			return false
		}
		if f.ahead.CompareAndSwap(had, had+n) {
			return true
		}
	}
}

// extend implements receiver.
func (c *call) extend(n int64) bool {
	f := c.front
	if !f.reserve(n, f.cfg.Ahead/2) { // the rest is for new calls
		return false
	}
	for had := c.granted.Load(); had >= 0; had = c.granted.Load() {
		if c.granted.CompareAndSwap(had, had+n) {
			return true
		}
	}
	f.ahead.Add(-n)
	return false
}

// leave takes the call out of those that a Backend has. mu is held.
func (c *call) leave() {
	c.front.diverted--
	c.front.ahead.Add(-c.granted.Swap(-1))
}

// release takes a call out of the calls that are held. mu is held.
func (f *Front) release(c *call) {
	if i := slices.Index(f.holding, c); i >= 0 {
		f.holding = slices.Delete(f.holding, i, i+1)
	}
}

// drop takes a call out of the front, with the state in which it leaves. mu is held.
func (f *Front) drop(c *call, state callState) {
	if c.state == diverted {
		c.leave()
	}
	f.dequeue(c)
	f.release(c)
	delete(f.calls, c.id)
	c.state = state
	c.backlog.drop()
}

// tell tells the policy how the call has ended.
func (c *call) tell() {
	if c.d == nil {
		c.front.policy.Dropped(c.kept, c.result.Began)
		return
	}
	c.d.Ended(c.result)
}

// isOver tells whether nothing of the storage counts any more. A call whose end waits for the client is over: its Backend may be
// closed while a frame of it is on its way here. mu is held.
func (c *call) isOver() bool { return c.state != diverted || c.trailer != nil }

// over ends the call here. mu is held.
func (c *call) over() {
	f := c.front
	f.accept(c)
	c.result.ResponseBytes, c.result.Responses = c.messages.bytes, c.messages.whole
	f.drop(c, ended)
	f.told = append(f.told, c)
}

// accept returns the bytes of the request to the client's window: they will not be passed. mu is held.
func (f *Front) accept(c *call) {
	f.repayLocked(int64(len(c.first)) + c.padding)
	c.first, c.padding = nil, 0
}

// gone is the message of a call whose client is gone, in gRPC's words: it stands in the log.
const gone = "context canceled"

// abandon ends a call whose client is gone. mu is held.
func (c *call) abandon() {
	if c.state == asked { // the reader sees that it is gone
		c.front.drop(c, ended)
		return
	}
	if c.stream != nil {
		c.stream.cancel(http2.ErrCodeCancel)
	}
	c.result.ClientGone = true
	c.result.Code, c.result.Message = codes.Canceled, gone
	c.over()
}

// stalled ends a call of which the client takes nothing. mu is held.
func (c *call) stalled() {
	c.front.out.stage(appendReset(nil, c.id, http2.ErrCodeCancel))
	c.stream.cancel(http2.ErrCodeCancel)
	c.result.Code, c.result.Message = codes.Canceled, "the client has taken nothing of the answer for too long"
	c.over()
}

// takeBack has the reader pass a call that the client has seen nothing of. mu is held.
func (c *call) takeBack(why string) {
	f := c.front
	if f.closing != nil { // gRPC's server reads no more
		c.finish(codes.Unavailable, why, nil)
		return
	}
	c.leave()
	c.state, c.stream = passing, nil
	f.passing = append(f.passing, c)
}

// finish ends the call with a status, once its messages are sent. Only the trailers of a storage may come after a part of one. mu is held.
func (c *call) finish(code codes.Code, message string, trailers []hpack.HeaderField) {
	f := c.front
	r := &c.result
	r.Code, r.Message = code, message
	if trailers != nil {
		r.FromStorage, r.Trailer = c.stream != nil, trailers
		c.letGo()
	} else {
		trailers = statusFields(code, message)
		c.backlog.cut()
	}
	fields := make([]hpack.HeaderField, 0, len(trailers)+2)
	if !c.answered {
		c.answered = true
		fields = append(fields, c.opening()...)
	}
	for _, t := range trailers {
		if t.Name == "grpc-status" || t.Name == "grpc-message" || !reserved(t.Name) {
			fields = append(fields, t)
		}
	}
	c.trailer = f.frames(c, http2.FlagHeadersEndStream, fields)
	c.sendTrailer()
}

// late ends the call at its deadline. mu is held.
func (c *call) late() {
	c.backlog.drop()
	c.finish(codes.DeadlineExceeded, lateMessage, nil)
}

// opening are the fields with which each answer begins.
func (c *call) opening() []hpack.HeaderField {
	return []hpack.HeaderField{{Name: ":status", Value: "200"}, {Name: "content-type", Value: Value(c.fields, "content-type")}}
}

// frames encodes fields for the client. A list that it does not take resets the call, as gRPC's server does.
func (f *Front) frames(c *call, flags http2.Flags, fields []hpack.HeaderField) []byte {
	if f.windows.maxList > 0 && listSize(fields) > f.windows.maxList {
		c.stream.cancel(http2.ErrCodeCancel)
		c.result.Code, c.result.Message = codes.Internal, "the client takes no header list of this size"
		return appendReset(nil, c.id, http2.ErrCodeInternal)
	}
	block := appendFields(make([]byte, 0, 256), fields)
	return appendHeaders(make([]byte, 0, len(block)+2*headLen), c.id, flags, block)
}

// sendTrailer ends the call if nothing waits before its end. mu is held.
func (c *call) sendTrailer() {
	if c.trailer == nil || c.waits() {
		return
	}
	c.front.out.stage(c.trailer)
	c.front.pings.sent = true
	c.over()
}

// waits tells whether DATA waits for a window. mu is held.
func (c *call) waits() bool { return c.backlog.waits() }
