package frames

import (
	"slices"
	"time"

	"golang.org/x/net/http2"
)

const (
	// smallDebt is how many bytes of diverted calls gRPC's server need not know of while it has no calls: so much it may send too
	// much. Beyond it, and while there are such calls, half of the client's window is for them. A client may use half of its
	// window before it opens it again.
	smallDebt = 8 << 20
	// repayAt is how many bytes of diverted requests are returned to the client's window at a time.
	repayAt = 4 << 10
	// maxBlocked is how many bytes of gRPC's server wait for the client's window. A client that has calls answered and opens no
	// window for the answers is cut off.
	maxBlocked = 16 << 20
)

// windows are the windows that the client has opened for its answers. The front's mu guards them.
type windows struct {
	conn    int64 // of the whole connection
	debt    int64 // by which gRPC's server believes conn to be larger
	initial int64 // of a new call
	maxList int64 // size of the largest header list that the client takes; 0 for any
	noTable bool  // the client has shrunk its dynamic table, and waits for headers that say so: only gRPC's server sends such headers

	unpaid  int64   // bytes of diverted requests that were not yet returned to the client's window
	blocked []byte  // frames of gRPC's server that wait for conn
	writing bool    // gRPC's server writes the frames before the blocked ones
	waiting []*call // have DATA that waits for conn, and windows of their own; the next one first
}

// open is how many bytes of DATA diverted calls may send now. mu is held.
func (f *Front) open() int64 {
	w := &f.windows
	if len(w.blocked) > 0 {
		return 0
	}
	debt := (w.conn + w.debt + 1) / 2
	if len(f.passed) == 0 {
		debt = max(debt, smallDebt)
	}
	return min(w.conn, debt-w.debt)
}

// room is how many of n bytes of DATA a diverted call may send now. mu is held.
func (f *Front) room(c *call, n int) int {
	return int(max(0, min(int64(n), c.window, f.open())))
}

// spend takes DATA of a diverted call from the windows. mu is held.
func (f *Front) spend(c *call, n int) {
	c.window -= int64(n)
	f.windows.conn -= int64(n)
	f.windows.debt += int64(n)
	f.pings.sent = true
}

// windowUpdate handles a WINDOW_UPDATE of the client.
func (f *Front) windowUpdate(in *inbound, h head, n int64) error {
	f.mu.Lock()
	w := &f.windows
	id, closing := h.id, f.closing != nil
	c, p := f.calls[h.id], f.passed[h.id]
	switch {
	case h.id == 0 && w.conn+w.debt+n > maxWindow:
		f.mu.Unlock()
		return errProtocol
	case h.id == 0 && n > 0:
		w.conn += n
		paid := min(w.debt, n)
		w.debt -= paid
		n -= paid
		closing = closing || n == 0
		f.moveOn()
	case h.id == 0: // gRPC's server refuses it
	case c != nil && (n == 0 || !c.answered && c.extra+n > maxWindow || c.window+n > maxWindow):
		f.out.stage(appendReset(nil, c.id, http2.ErrCodeFlowControl))
		c.abandon()
	case c != nil:
		c.window += n    // of a call that is held it is not yet known
		if !c.answered { // later it is passed no more, and an answer may have more bytes than a window
			c.extra += n
		}
		f.queue(c)
		f.moveOn()
	case p != nil:
		id = p.inner
	}
	f.unlock()
	if c == nil && !closing && (h.id == 0 || p != nil) {
		var b [headLen + 4]byte
		in.emit(appendWindowUpdate(b[:0], id, n))
	}
	return nil
}

// settings handles a SETTINGS frame of the client.
func (f *Front) settings(in *inbound, h head, payload []byte) error {
	if h.id == 0 && h.length%6 == 0 && !h.flags.Has(http2.FlagSettingsAck) {
		f.mu.Lock()
		f.set(payload)
		f.moveOn()
		closing := f.closing != nil
		f.unlock()
		if closing {
			f.out.stage(appendHead(nil, 0, http2.FrameSettings, http2.FlagSettingsAck, 0))
		}
	}
	f.emitOwn(in, h, payload)
	return nil
}

// set takes the settings of a frame. A frame may repeat one often, and only the last counts. mu is held.
func (f *Front) set(payload []byte) {
	w := &f.windows
	initial := w.initial
	eachSetting(payload, func(id http2.SettingID, value uint32) {
		switch {
		case id == http2.SettingInitialWindowSize && value <= maxWindow: // gRPC's server refuses others
			initial = int64(value)
		case id == http2.SettingMaxHeaderListSize:
			w.maxList = int64(value)
		case id == http2.SettingHeaderTableSize:
			w.noTable = w.noTable || value < headerTable
		}
	})
	if initial == w.initial {
		return
	}
	for _, c := range f.calls {
		if c.state == diverted {
			c.window += initial - w.initial
			f.queue(c)
		}
	}
	w.initial = initial
}

// queue has a call wait in turn for the connection's window, unless it waits for its own. mu is held.
func (f *Front) queue(c *call) {
	if c.waits() && c.window > 0 && !c.queued {
		c.queued = true
		f.windows.waiting = append(f.windows.waiting, c)
	}
}

// dequeue undoes queue. mu is held.
func (f *Front) dequeue(c *call) {
	w := &f.windows
	if c.queued {
		c.queued = false
		i := slices.Index(w.waiting, c)
		w.waiting = slices.Delete(w.waiting, i, i+1)
	}
}

// moveOn sends as much as the windows allow now. It looks only at calls that can go on: a client may send it here with every few
// bytes. mu is held.
func (f *Front) moveOn() {
	f.sendBlocked()
	w := &f.windows
	for len(w.waiting) > 0 && f.open() > 0 {
		c := w.waiting[0]
		w.waiting[0] = nil
		w.waiting = w.waiting[1:]
		c.queued = false
		c.sendBacklog()
		f.queue(c)
	}
	if len(w.waiting) == 0 {
		w.waiting = nil
	}
}

// sendBlocked sends the frames of gRPC's server that wait. mu is held.
func (f *Front) sendBlocked() {
	w := &f.windows
	if w.writing {
		return
	}
	at := 0
	for at < len(w.blocked) {
		h := parseHead(w.blocked[at:])
		if h.typ == http2.FrameData {
			if int64(h.length) > w.conn {
				break
			}
			w.conn -= int64(h.length)
		}
		at += headLen + h.length
	}
	if at > 0 {
		f.out.send(w.blocked[:at], nil, 0)
		if w.blocked = w.blocked[at:]; len(w.blocked) == 0 {
			w.blocked = nil
		}
	}
}

// repay returns the bytes of requests that gRPC's server does not see to the client's window.
func (f *Front) repay(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repayLocked(n)
}

func (f *Front) repayLocked(n int64) {
	w := &f.windows
	if w.unpaid += n; w.unpaid >= repayAt {
		var b [headLen + 4]byte
		f.out.stage(appendWindowUpdate(b[:0], 0, w.unpaid))
		w.unpaid = 0
	}
}

// watchStall sees to it that a call of which the client takes nothing ends. mu is held.
func (f *Front) watchStall() {
	switch {
	case f.closed:
	case f.stalls == nil:
		f.stalls = time.AfterFunc(f.cfg.SendStall/4, f.checkStall)
	case !f.stallWatched:
		f.stalls.Reset(f.cfg.SendStall / 4)
	}
	f.stallWatched = true
}

func (f *Front) checkStall() {
	f.mu.Lock()
	f.stallWatched = false
	now := time.Now()
	var stalled []*call
	again := false
	for _, c := range f.calls {
		if c.state != diverted || !c.waits() && c.unwritten == 0 {
			continue
		}
		if now.Sub(c.moved) >= f.cfg.SendStall {
			stalled = append(stalled, c)
		}
		again = true
	}
	for _, c := range stalled {
		c.stalled()
	}
	if again {
		f.watchStall()
	}
	f.unlock()
	f.out.flush()
}
