package lease

import "time"

// asksKept bounds how many asks a Holder remembers: an answer that is later than
// that many further asks could only bring a lease that has ended.
const asksKept = 16

// Holder is an instance's side. The zero value holds no lease.
type Holder struct {
	lease Lease
	// last is the number of the latest ask; asked[n%asksKept] is the instant
	// noted for ask n.
	last  uint64
	asked [asksKept]time.Duration
}

// Ask notes the instant and returns the number of a new ask. It is called before
// anything of the ask is on its way, and before the term is read that goes with
// it: the lease is counted from here ▲, so that it began before whatever vouches
// for it.
func (h *Holder) Ask(now time.Duration) uint64 {
	h.last++
	h.asked[h.last%asksKept] = now
	return h.last
}

// Asked returns the number of the latest ask, 0 before the first. It goes into
// every message, so that one that is lost is made good.
func (h *Holder) Asked() uint64 { return h.last }

// Granted takes what the leader said, from a stream to whichever leader: a lease
// that was granted by one is good until it ends, whoever leads then. It reports
// whether the lease has become longer.
func (h *Holder) Granted(g Grant) bool {
	if g.For == 0 || g.For > h.last || h.last-g.For >= asksKept || g.Length <= 0 {
		return false
	}
	until := h.asked[g.For%asksKept] + g.Length - Margin(g.Length)
	if until <= h.lease.Until {
		return false
	}
	// The later lease needs the later view: that of the former may have been
	// enough for less.
	h.lease = Lease{Until: until, Index: max(g.Index, h.lease.Index)}
	return true
}

// Lease returns what is held. It may have ended.
func (h *Holder) Lease() Lease { return h.lease }

// GiveBack ends the lease. Whatever was asked before brings none any more.
func (h *Holder) GiveBack() {
	h.last += asksKept
	h.lease = Lease{Index: h.lease.Index}
}
