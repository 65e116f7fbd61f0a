package console

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of attempts to sign in.
const (
	attemptsOfOne  = 10 // of one address in a window
	attemptsOfAll  = 300
	attemptsWindow = time.Minute
	maxAddresses   = 1024
)

// attempts counts the attempts to sign in that did not succeed. An attempt counts before it is
// judged, so that many at once are no way around the bound.
type attempts struct {
	mu    sync.Mutex
	all   window                   // guarded by mu
	ofOne map[netip.Prefix]*window // guarded by mu; at most maxAddresses
}

// window counts attempts from its begin on.
type window struct {
	begun time.Time
	count int
}

func newAttempts() *attempts { return &attempts{ofOne: make(map[netip.Prefix]*window)} }

// begin counts an attempt from an address, or says how long that address has to wait.
func (a *attempts) begin(now time.Time, from netip.Addr) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.of(now, from)
	if wait := max(one.full(now, attemptsOfOne), a.all.full(now, attemptsOfAll)); wait > 0 {
		return wait
	}
	one.count++
	a.all.count++
	return 0
}

// succeeded takes back the count of begin for an address.
func (a *attempts) succeeded(from netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.ofOne, network(from))
	a.all.count = max(0, a.all.count-1)
}

// of returns the window of an address. The caller holds mu.
func (a *attempts) of(now time.Time, from netip.Addr) *window {
	key := network(from)
	if one := a.ofOne[key]; one != nil {
		return one
	}
	if len(a.ofOne) >= maxAddresses {
		var oldest netip.Prefix
		for other, w := range a.ofOne {
			if !oldest.IsValid() || w.begun.Before(a.ofOne[oldest].begun) {
				oldest = other
			}
		}
		delete(a.ofOne, oldest)
	}
	one := &window{begun: now}
	a.ofOne[key] = one
	return one
}

// full tells how long to wait until there may be another attempt, 0 for not at all.
func (w *window) full(now time.Time, limit int) time.Duration {
	if left := w.begun.Add(attemptsWindow).Sub(now); left > 0 {
		if w.count < limit {
			return 0
		}
		return left
	}
	w.begun, w.count = now, 0
	return 0
}

// network is a range of which one stranger can have many addresses.
func network(of netip.Addr) netip.Prefix {
	of = of.Unmap()
	bits := of.BitLen()
	if of.Is6() {
		bits = 64
	}
	prefix, err := of.WithZone("").Prefix(bits)
	if err != nil { // the address of a Unix socket or of a test: one for all
		return netip.Prefix{}
	}
	return prefix
}
