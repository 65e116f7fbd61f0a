package frames

import (
	"encoding/binary"
	"time"

	"google.golang.org/grpc/codes"
)

// serve is the Answer of a call that is answered here.
func (c *call) serve(code codes.Code, text string, message []byte) {
	f := c.front
	f.mu.Lock()
	if !c.isOver() {
		c.result.Answered = time.Now()
		f.accept(c)
		if code == codes.OK {
			c.answered = true
			f.out.stage(f.frames(c, 0, c.opening()))
		}
		if c.result.Code != codes.OK { // it was reset
			c.over()
		} else {
			if code == codes.OK {
				data := binary.BigEndian.AppendUint32(append(make([]byte, 0, headLen+prefixLen+len(message)), 0), uint32(len(message)))
				c.forward(appendData(nil, c.id, 0, append(data, message...)))
			}
			c.finish(code, text, statusFields(code, text))
		}
	}
	f.unlock()
	f.out.flush()
}

// watchDeadline has the deadlines of the calls that are answered here looked at in time. A timer that fires sooner is left as it
// is, because most calls end before it fires. mu is held.
func (f *Front) watchDeadline(at time.Time) {
	switch {
	case at.IsZero() || f.closed || !f.looks.IsZero() && !at.Before(f.looks):
		return
	case f.lateness == nil:
		f.lateness = time.AfterFunc(time.Until(at), f.checkDeadlines)
	default:
		f.lateness.Reset(time.Until(at))
	}
	f.looks = at
}

// checkDeadlines ends the calls that are answered here and whose deadlines have passed.
func (f *Front) checkDeadlines() {
	f.mu.Lock()
	f.looks = time.Time{}
	now := time.Now()
	var next time.Time
	var late []*call
	for _, c := range f.calls {
		switch {
		case c.state != diverted || c.stream != nil || c.d.Deadline.IsZero():
		case !now.Before(c.d.Deadline):
			late = append(late, c)
		case next.IsZero() || c.d.Deadline.Before(next):
			next = c.d.Deadline
		}
	}
	for _, c := range late {
		c.late()
	}
	f.watchDeadline(next)
	f.unlock()
	f.out.flush()
}
