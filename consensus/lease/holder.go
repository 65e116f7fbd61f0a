package lease

import (
	"slices"
	"time"

	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// asksKept bounds how many asks a Holder remembers: an answer that is later than
// that many further asks could only bring a lease that has ended.
const asksKept = 16

// Holder is an instance's side. The zero value holds no lease.
type Holder struct {
	// leases are the held ones, by rising Until and by rising Index: a longer one
	// may need a view that the instance does not have yet, and a shorter one
	// serves until then. There are never more of them than asks.
	leases []routing.Lease
	// last is the number of the latest ask; asked[n%asksKept] is the instant
	// noted for ask n.
	last  uint64
	asked [asksKept]time.Duration

	// The rest is what a leader has told of beside leases, and toldAt when the last one did.
	watermark state.Index
	pauses    []routing.WritePause
	silent    map[state.Incarnation]time.Duration
	toldAt    time.Duration
}

// Ask notes the instant and returns the number of a new ask. It is called before
// anything of the ask is on its way, and before the term is read that goes with
// it: the lease is counted from here (▲ lease-from-the-answer), so that it began before all that
// vouches for it.
func (h *Holder) Ask(now time.Duration) uint64 {
	h.last++
	h.asked[h.last%asksKept] = now
	return h.last
}

// Asked returns the number of the latest ask, 0 before the first. It goes into
// every message, so that one that is lost is made good.
func (h *Holder) Asked() uint64 { return h.last }

// Granted takes the message of a leader, from a stream to any leader: a lease
// that was granted by one is good until it ends, also under another leader. It reports
// whether the lease has become longer.
func (h *Holder) Granted(g Grant) bool {
	if g.For == 0 || g.For > h.last || h.last-g.For >= asksKept || g.Length <= 0 {
		return false
	}
	until := h.asked[g.For%asksKept] + g.Length - Margin(g.Length)
	if until <= h.Lease().Until {
		return false
	}
	h.leases = slices.DeleteFunc(h.leases, func(l routing.Lease) bool { return l.Index >= g.Index })
	if len(h.leases) == asksKept {
		h.leases = slices.Delete(h.leases, 0, 1)
	}
	h.leases = append(h.leases, routing.Lease{Until: until, Index: g.Index})
	return true
}

// Lease returns the longest lease that is held. It may have ended, or need a
// later view than the instance has.
func (h *Holder) Lease() routing.Lease {
	if len(h.leases) == 0 {
		return routing.Lease{}
	}
	return h.leases[len(h.leases)-1]
}

// Usable returns the longest lease that can be used by the view of that index;
// if there is none, the longest at all.
func (h *Holder) Usable(view state.Index) routing.Lease {
	for _, l := range slices.Backward(h.leases) {
		if l.Index <= view {
			return l
		}
	}
	return h.Lease()
}

// GiveBack ends the lease. A request from before brings none any more.
func (h *Holder) GiveBack() {
	h.last += asksKept
	h.leases = nil
}

// Received takes the message of a leader, from a stream to any leader. It reports whether the lease
// has become longer.
func (h *Holder) Received(now time.Duration, m *FromLeader) (longer bool) {
	// An index that every leased instance has applied stays applied, under any leader.
	h.watermark = max(h.watermark, m.Watermark)
	h.silent, h.toldAt = make(map[state.Incarnation]time.Duration, len(m.Silent)), now
	for _, silence := range m.Silent {
		h.silent[silence.Incarnation] = now - time.Duration(silence.Millis)*time.Millisecond
	}
	var pauses []routing.WritePause
	for _, p := range m.WritePauses {
		pauses = append(pauses, h.pause(now, p))
	}
	h.pauses = pauses
	return h.Granted(m.Grant())
}

// pause keeps the end of a pause where the first message about it put it.
func (h *Holder) pause(now time.Duration, p WritePause) routing.WritePause {
	for _, known := range h.pauses {
		if known.ID == p.ID && known.VirtualStorage == p.VirtualStorage {
			return known
		}
	}
	return routing.WritePause{
		ID: p.ID, VirtualStorage: p.VirtualStorage, Serving: p.Serving, Leaving: p.Leaving,
		Until: now + time.Duration(p.RemainingMillis)*time.Millisecond,
	}
}

// Watermark is an index that every leased instance has applied.
func (h *Holder) Watermark() state.Index { return h.watermark }

// WritePauses are the pauses in force. The slice is replaced, never changed.
func (h *Holder) WritePauses() []routing.WritePause { return h.pauses }

// silenceKept is for how long the report of a leader on silent incarnations counts. A later
// leader may have heard of them since.
const silenceKept = 10 * time.Second

// SilentSince is since when incarnations were not heard of, as leaders told lately. The map is
// replaced, never changed.
func (h *Holder) SilentSince(now time.Duration) map[state.Incarnation]time.Duration {
	if now-h.toldAt > silenceKept {
		return nil
	}
	return h.silent
}
