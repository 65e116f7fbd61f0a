package frames

import (
	"time"

	"golang.org/x/net/http2"
)

const (
	// pingsAfter is for how long after the last frame of a diverted call pings are answered here.
	pingsAfter = time.Minute
	// maxStrikes is how many pings may come too soon in a row, as gRPC's servers count.
	maxStrikes = 2
)

// pings is gRPC's policy for pings, on behalf of its server, which does not see the frames of diverted calls: clients ping while
// data comes, to learn the bandwidth. The front's mu guards it.
type pings struct {
	sent     bool      // a frame of a diverted call was sent since the last ping
	lastSent time.Time // the ping that came after the last such frame
	last     time.Time
	strikes  int
	held     []byte      // the answer to a ping, which goes out when holding fires; nil without one
	holding  *time.Timer // nil before the first one
}

// answer tells whether a ping is answered here. Otherwise it is up to gRPC's server, which ends the connection if it gets too many.
func (p *pings) answer(now time.Time, minTime time.Duration) bool {
	soon := now.Sub(p.last) < minTime
	p.last = now
	switch {
	case p.sent:
		p.sent, p.lastSent, p.strikes = false, now, 0
	case now.Sub(p.lastSent) > pingsAfter:
		return false
	case soon:
		p.strikes++
	}
	return p.strikes <= maxStrikes
}

// ping handles a PING frame of the client.
func (f *Front) ping(in *inbound, h head, payload []byte) {
	if h.length != 8 || h.id != 0 || h.flags.Has(http2.FlagPingAck) {
		f.emitOwn(in, h, payload)
		return
	}
	f.mu.Lock()
	here := f.pings.answer(time.Now(), f.cfg.PingMinTime) || f.closing != nil
	held := here && f.holdPing(payload)
	f.mu.Unlock()
	if !here {
		f.emitOwn(in, h, payload)
		return
	}
	if held {
		return
	}
	var b [headLen + 8]byte
	f.out.stage(appendPing(b[:0], http2.FlagPingAck, payload))
}

// holdPing keeps the answer to a ping for Config.PingHold, and tells whether it does: it keeps one at a time. mu is held.
func (f *Front) holdPing(payload []byte) bool {
	p := &f.pings
	if f.cfg.PingHold == 0 || p.held != nil || f.closed {
		return false
	}
	p.held = appendPing(nil, http2.FlagPingAck, payload)
	if p.holding == nil {
		p.holding = time.AfterFunc(f.cfg.PingHold, f.answerHeld)
	} else {
		p.holding.Reset(f.cfg.PingHold)
	}
	return true
}

func (f *Front) answerHeld() {
	f.mu.Lock()
	f.out.stage(f.pings.held)
	f.pings.held = nil
	f.mu.Unlock()
	f.out.flush()
}
