package frames

import (
	"encoding/binary"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
)

// maxFirst is the size of the largest message that is diverted.
const maxFirst = 64 << 10

// hold keeps a call until its message is whole.
func (f *Front) hold(id uint32, fields []hpack.HeaderField, kept any) {
	c := &call{front: f, id: id, fields: fields, kept: kept, result: Result{Began: time.Now()}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[id] = c
	f.holding = append(f.holding, c)
}

// heldData takes a DATA frame of a held call.
func (f *Front) heldData(in *inbound, h head, payload []byte) error {
	payload, err := unpad(h, payload)
	if err != nil {
		return err
	}
	end := h.flags & http2.FlagDataEndStream
	f.mu.Lock()
	c := f.calls[h.id]
	if c == nil {
		f.mu.Unlock()
		return nil // it was cut
	}
	odd, whole := c.add(payload, int64(h.length-len(payload)))
	if odd = odd || end != 0 && !whole; end != 0 && !odd {
		c.state = asked
	}
	f.mu.Unlock()
	switch {
	case odd:
		f.passCall(in, c, end, Message)
	case end != 0:
		f.divert(in, c)
	}
	return nil
}

// add keeps DATA of a held call, and tells whether the call cannot be diverted, or the message is whole. mu is held.
func (c *call) add(payload []byte, padding int64) (odd, whole bool) {
	c.padding += padding
	if len(payload) == 0 {
		c.empty++ // the last frame may have none
	}
	if c.first == nil {
		c.first = make([]byte, 0, wanted(payload))
	}
	c.first = append(c.first, payload...)
	whole, odd = judge(c.first)
	return odd || padding > 0 || c.empty > maxEmpty, whole
}

// maxEmpty is how many empty frames a held call may have.
const maxEmpty = 8

// wanted is how much room a message needs of which payload is the beginning.
func wanted(payload []byte) int {
	if len(payload) < prefixLen {
		return prefixLen
	}
	return max(len(payload), prefixLen+int(min(binary.BigEndian.Uint32(payload[1:]), maxFirst)))
}

// judge tells whether first is exactly one message, or is odd: it cannot become one that is diverted.
func judge(first []byte) (whole, odd bool) {
	if len(first) > 0 && first[0] != 0 {
		return false, true // compressed
	}
	if len(first) < prefixLen {
		return false, false
	}
	n := int64(binary.BigEndian.Uint32(first[1:]))
	have := int64(len(first) - prefixLen)
	return have == n, n > maxFirst || have > n
}

// divert asks the policy where a call goes that was held, and sends it there.
func (f *Front) divert(in *inbound, c *call) {
	d := f.policy.Divert(c.kept, c.first[prefixLen:])
	if d == nil { // the policy knows why
		f.passCall(in, c, http2.FlagDataEndStream, "")
		return
	}
	f.mu.Lock()
	if f.calls[c.id] != c { // it was cut
		f.mu.Unlock()
		c.result.ClientGone, c.result.Code, c.result.Message = true, codes.Canceled, gone
		d.Ended(c.result)
		return
	}
	if why := c.open(d); why != "" {
		f.mu.Unlock()
		f.passCall(in, c, http2.FlagDataEndStream, "")
		f.policy.Passed(c.kept, why)
		return
	}
	f.mu.Unlock()
	if d.Serve != nil {
		d.Serve(c.serve)
		return
	}
	for _, b := range in.touched {
		if b == d.Backend {
			return
		}
	}
	in.touched = append(in.touched, d.Backend)
}

// passCall gives a call to gRPC's server, and tells the policy why, unless that is empty. end is DATA's flag of that name if the client
// has ended the stream.
func (f *Front) passCall(in *inbound, c *call, end http2.Flags, why Why) {
	f.mu.Lock()
	if f.calls[c.id] != c {
		f.mu.Unlock()
		return // it was cut
	}
	if f.away { // gRPC's server takes no more calls, though the client was told that it would take this one
		f.out.stage(appendReset(nil, c.id, http2.ErrCodeRefusedStream))
		f.accept(c)
		f.drop(c, ended)
		if c.result.Code, c.result.Message = codes.Unavailable, "the server is shutting down"; c.d != nil {
			f.told = append(f.told, c)
		}
		f.unlock()
		return
	}
	f.drop(c, passed)
	inner := f.begin(c.id)
	if end != 0 {
		f.clientDone(f.passed[c.id])
	}
	f.unlock()
	if why != "" {
		f.policy.Passed(c.kept, why)
	}
	fields := c.fields
	if timeout, ok := Timeout(fields); ok {
		fields = withTimeout(fields, timeout-time.Since(c.result.Began))
	}
	in.emitHeaders(inner, 0, fields)
	if len(c.first) > 0 || end != 0 {
		in.emit(appendData(nil, inner, end, c.first))
	}
	if c.padding > 0 { // gRPC's server did not see it
		f.repay(c.padding)
		f.out.stage(appendWindowUpdate(nil, c.id, c.padding))
	}
	if c.extra > 0 {
		in.emit(appendWindowUpdate(nil, inner, c.extra))
	}
}

// watchHeld sees to it that held calls are passed after a while.
func (f *Front) watchHeld() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.holding) == 0 || f.closed {
		return
	}
	left := max(0, f.cfg.Hold-time.Since(f.holding[0].result.Began))
	if f.holds == nil {
		f.holds = time.AfterFunc(left, f.wake)
	} else {
		f.holds.Reset(left)
	}
}

// passWaiting passes the calls that were held too long, and the calls whose storages were lost.
func (f *Front) passWaiting() {
	f.mu.Lock()
	if len(f.holding) == 0 && len(f.passing) == 0 && f.owed == 0 {
		f.mu.Unlock()
		return
	}
	waiting := f.passing
	f.passing = nil
	owed := f.owed
	f.owed = 0
	var late []*call
	if len(f.holding) > 0 {
		now := time.Now()
		for _, c := range f.holding {
			if now.Sub(c.result.Began) >= f.cfg.Hold {
				late = append(late, c)
			}
		}
	}
	in := &f.in
	in.buf = nil // all output goes to the spill
	closing := f.closing != nil
	f.mu.Unlock()
	for _, c := range late {
		f.passCall(in, c, 0, Slow)
	}
	for _, c := range waiting {
		f.passCall(in, c, http2.FlagDataEndStream, Lost)
	}
	if owed > 0 && !closing {
		in.emit(appendWindowUpdate(nil, 0, owed))
	}
	f.out.flush()
	f.watchHeld()
}
