package frames

import (
	"time"

	"golang.org/x/net/http2"
)

const (
	// maxDebt bounds the bytes of diverted calls that gRPC's server does not know of: so much it may send too much.
	maxDebt = 8 << 20
	// repayAt is how many bytes of diverted requests are returned to the client's window at a time.
	repayAt = 4 << 10
	// maxBlocked is how many bytes of gRPC's server wait for the client's window. The debt bounds its DATA; a client that
	// begins calls and opens no window for their answers is cut off.
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
	waiting []*call // have DATA that waits for a window
}

// room is how many of n bytes of DATA a diverted call may send now. mu is held.
func (f *Front) room(c *call, n int) int {
	w := &f.windows
	if len(w.blocked) > 0 {
		return 0
	}
	debt := int64(maxDebt)
	if len(f.passed) > 0 {
		debt = min(debt, (w.conn+w.debt)/2)
	}
	return int(max(0, min(int64(n), c.window, w.conn, debt-w.debt)))
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
	case c != nil && (n == 0 || c.extra+n > maxWindow || c.window+n > maxWindow):
		f.out.stage(appendReset(nil, c.id, http2.ErrCodeFlowControl))
		c.abandon()
	case c != nil:
		c.window += n // of a call that is held it is not yet known
		c.extra += n
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
		eachSetting(payload, f.setting)
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

func (f *Front) setting(id http2.SettingID, value uint32) {
	w := &f.windows
	switch id {
	case http2.SettingInitialWindowSize:
		if value > maxWindow {
			return // gRPC's server refuses it
		}
		for _, c := range f.calls {
			if c.state == diverted {
				c.window += int64(value) - w.initial
			}
		}
		w.initial = int64(value)
	case http2.SettingMaxHeaderListSize:
		w.maxList = int64(value)
	case http2.SettingHeaderTableSize:
		w.noTable = w.noTable || value < headerTable
	}
}

// moveOn sends as much as the windows allow now. mu is held.
func (f *Front) moveOn() {
	f.sendBlocked()
	w := &f.windows
	for moved := true; moved && len(w.waiting) > 0; { // in turn
		moved = false
		kept := w.waiting[:0]
		for _, c := range w.waiting {
			if c.state == diverted && c.waits() && c.sendPending() {
				moved = true
			}
			if c.queued = c.state == diverted && c.waits(); c.queued {
				kept = append(kept, c)
			}
		}
		clear(w.waiting[len(kept):])
		w.waiting = kept
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
