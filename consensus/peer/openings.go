package peer

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// handshakes bounds the connections that have not proved anything yet, from
	// strangers and from the hosts of the listed peers each.
	handshakes = 64
	// firstByteTimeout bounds the wait for the first byte of a connection. A peer
	// sends it at once.
	firstByteTimeout = 500 * time.Millisecond
	// lookupEvery is how often the hosts of the listed peers are looked up.
	lookupEvery = 30 * time.Second
)

// openings are the connections that have not proved anything yet. Connections from the
// hosts of the listed peers have slots of their own. When there is no slot the oldest
// connection of the same kind is dropped: a peer needs a moment, and a stranger that
// says nothing is soon the oldest.
type openings struct {
	mu       sync.Mutex
	waiting  [2]list.List // of net.Conn, the oldest first; of strangers, and of listed hosts; guarded by mu
	expected atomic.Pointer[map[string]bool]
}

// opening is one of them.
type opening struct {
	all     *openings
	kind    int
	element *list.Element
}

// begin takes a connection in, and returns one that must make room, if any must.
func (o *openings) begin(c net.Conn) (now opening, oldest net.Conn) {
	kind := 0
	if hosts := o.expected.Load(); hosts != nil && (*hosts)[hostOf(c.RemoteAddr().String())] {
		kind = 1
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := &o.waiting[kind]; l.Len() >= handshakes {
		oldest = l.Remove(l.Front()).(net.Conn)
	}
	return opening{all: o, kind: kind, element: o.waiting[kind].PushBack(c)}, oldest
}

// end gives the slot back; one that was taken away is gone already.
func (w opening) end() {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	w.all.waiting[w.kind].Remove(w.element)
}

// len is how many connections have not proved anything yet.
func (o *openings) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waiting[0].Len() + o.waiting[1].Len()
}

// lookup keeps the addresses of the listed hosts, until ctx ends. One that cannot be
// looked up keeps none, and its connections count as connections of strangers.
func (o *openings) lookup(ctx context.Context, hosts []string, resolve func(context.Context, string) ([]netip.Addr, error)) {
	for {
		found := make(map[string]bool)
		for _, host := range hosts {
			found[host] = true
			addrs, err := resolve(ctx, host)
			if err != nil {
				continue // for now
			}
			for _, a := range addrs {
				found[a.Unmap().String()] = true
			}
		}
		o.expected.Store(&found)
		pause(ctx, lookupEvery)
		if ctx.Err() != nil {
			return
		}
	}
}

// hostOf is the host of an address, in the form in which lookup keeps it.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return host
}

// resolveHost looks up a name.
func resolveHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// prompt is a connection whose first byte must come soon. Only TLS reads from it.
type prompt struct {
	net.Conn
	begun bool
}

// Read implements net.Conn.
func (p *prompt) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	if n > 0 && !p.begun {
		p.begun = true
		if err := p.SetReadDeadline(time.Time{}); err != nil {
			return n, err
		}
	}
	return n, err
}
