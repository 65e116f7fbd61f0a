package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"praefect/consensus/peer"
)

// network connects hosts in memory, each known by its address. Writes never wait
// for a reader, as a bubble's time stands still while a goroutine waits for a lock
// that another one pauses, waiting: TLS holds one while it writes.
type network struct {
	delay time.Duration // of everything, on its way

	mu     sync.Mutex
	ports  map[string]*port
	cut    map[[2]string]bool // from and to; guarded by mu
	links  map[*link]bool     // guarded by mu
	healed signal
	writes int // of all connections; guarded by mu
}

// written is how often anything was sent.
func (w *network) written() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.writes
}

func newNetwork(delay time.Duration) *network {
	return &network{delay: delay, ports: make(map[string]*port), cut: make(map[[2]string]bool), links: make(map[*link]bool)}
}

// signal wakes the goroutines that wait for it. It is guarded by the network's mu.
type signal struct{ news chan struct{} }

func (s *signal) wake() {
	if s.news != nil {
		close(s.news)
		s.news = nil
	}
}

// wait waits for the signal without mu, until a moment, if there is one, or the
// end of a context. Caller holds mu.
func (w *network) wait(s *signal, until time.Time, done <-chan struct{}) {
	if s.news == nil {
		s.news = make(chan struct{})
	}
	news := s.news
	w.mu.Unlock()
	defer w.mu.Lock()
	var late <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-news:
	case <-late:
	case <-done:
	}
}

// unacknowledged is after which the hosts of a real network give up a connection
// whose data is not acknowledged.
const unacknowledged = time.Second

// setCut cuts the way from one host to another, or heals it. What is on its way
// waits; connections end when that lasts.
func (w *network) setCut(from, to string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	way := [2]string{from, to}
	if w.cut[way] == cut {
		return
	}
	w.cut[way] = cut
	if !cut {
		w.healed.wake()
		for l := range w.links {
			l.wake()
		}
		return
	}
	time.AfterFunc(unacknowledged, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for l := range w.links {
			if w.cut[way] && l.joins(from, to) {
				l.reset(unix.ETIMEDOUT)
			}
		}
	})
}

// port is where a host takes connections.
type port struct {
	w        *network
	addr     string
	incoming []*end // guarded by w.mu
	ended    bool   // Accept, not the port; guarded by w.mu
	closed   bool   // guarded by w.mu
	changed  signal
}

func (w *network) listen(_ context.Context, addr string) (peer.Listener, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ports[addr] != nil {
		return nil, fmt.Errorf("listen at %s: %w", addr, unix.EADDRINUSE)
	}
	p := &port{w: w, addr: addr}
	w.ports[addr] = p
	return p, nil
}

// Accept implements net.Listener.
func (p *port) Accept() (net.Conn, error) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for {
		switch {
		case p.closed:
			return nil, net.ErrClosed
		case p.ended:
			return nil, os.ErrDeadlineExceeded
		case len(p.incoming) > 0:
			e := p.incoming[0]
			p.incoming = p.incoming[1:]
			return e, nil
		}
		p.w.wait(&p.changed, time.Time{}, nil)
	}
}

// Close implements net.Listener.
func (p *port) Close() error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.closed = true
	delete(p.w.ports, p.addr)
	for _, e := range p.incoming {
		e.link.reset(unix.ECONNRESET)
	}
	p.changed.wake()
	return nil
}

// SetDeadline implements peer.Listener. Only a moment that is past is ever set.
func (p *port) SetDeadline(time.Time) error {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.ended = true
	p.changed.wake()
	return nil
}

// Addr implements net.Listener.
func (p *port) Addr() net.Addr { return address(p.addr) }

type address string

func (address) Network() string  { return "memory" }
func (a address) String() string { return string(a) }

func (w *network) parted(a, b string) bool { return w.cut[[2]string{a, b}] || w.cut[[2]string{b, a}] }

// dial returns how the host at an address connects to others.
func (w *network) dial(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for arrives := time.Now().Add(2 * w.delay); w.parted(from, to) || time.Now().Before(arrives); {
			if w.parted(from, to) {
				arrives = time.Time{}
			}
			w.wait(&w.healed, arrives, ctx.Done())
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
		}
		p := w.ports[to]
		if p == nil {
			return nil, fmt.Errorf("connect to %s: %w", to, unix.ECONNREFUSED)
		}
		l := &link{w: w}
		near, far := &end{link: l, from: from, to: to}, &end{link: l, from: to, to: from}
		near.peer, far.peer, l.ends = far, near, [2]*end{near, far}
		w.links[l] = true
		p.incoming = append(p.incoming, far)
		p.changed.wake()
		return near, nil
	}
}

// link is a connection.
type link struct {
	w    *network
	ends [2]*end
}

func (l *link) joins(a, b string) bool {
	e := l.ends[0]
	return e.from == a && e.to == b || e.from == b && e.to == a
}

func (l *link) wake() {
	for _, e := range l.ends {
		e.changed.wake()
	}
}

// reset ends both sides at once. Caller holds mu.
func (l *link) reset(why error) {
	for _, e := range l.ends {
		if e.failed == nil {
			e.failed = why
		}
	}
	delete(l.w.links, l)
	l.wake()
}

// end is one end of a connection. Its fields are guarded by the network's mu.
type end struct {
	link     *link
	peer     *end
	from, to string

	arriving []chunk
	failed   error // why nothing is read or written any more
	until    time.Time
	changed  signal
}

// chunk is what is read from a moment on; nothing is the end of it all.
type chunk struct {
	at   time.Time
	data []byte
}

// Read implements net.Conn.
func (e *end) Read(b []byte) (int, error) {
	w := e.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		now, next := time.Now(), e.until
		switch {
		case !next.IsZero() && !now.Before(next):
			return 0, os.ErrDeadlineExceeded
		case e.failed != nil:
			return 0, e.failed
		}
		if len(e.arriving) > 0 && !w.cut[[2]string{e.to, e.from}] {
			c := &e.arriving[0]
			if !now.Before(c.at) {
				return e.take(b, c)
			}
			if next.IsZero() || c.at.Before(next) {
				next = c.at
			}
		}
		w.wait(&e.changed, next, nil)
	}
}

// take reads what has arrived. Caller holds mu.
func (e *end) take(b []byte, c *chunk) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(b, c.data)
	if c.data = c.data[n:]; len(c.data) == 0 {
		e.arriving = e.arriving[1:]
	}
	return n, nil
}

// Write implements net.Conn. It does not wait.
func (e *end) Write(b []byte) (int, error) {
	w := e.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case e.failed != nil:
		return 0, e.failed
	case e.peer.failed != nil && !w.parted(e.from, e.to):
		return 0, unix.EPIPE
	}
	if len(b) > 0 {
		e.send(append([]byte(nil), b...))
	}
	return len(b), nil
}

// send puts data on its way. Caller holds mu.
func (e *end) send(data []byte) {
	e.link.w.writes++
	e.peer.arriving = append(e.peer.arriving, chunk{time.Now().Add(e.link.w.delay), data})
	e.peer.changed.wake()
}

// Close implements net.Conn. The other side learns of it when it has read the rest.
func (e *end) Close() error {
	w := e.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(e.failed, net.ErrClosed) {
		return net.ErrClosed
	}
	e.failed = net.ErrClosed
	e.changed.wake()
	e.send(nil)
	if e.peer.failed != nil {
		delete(w.links, e.link)
	}
	return nil
}

// SetDeadline implements net.Conn; writes need none.
func (e *end) SetDeadline(t time.Time) error {
	w := e.link.w
	w.mu.Lock()
	defer w.mu.Unlock()
	e.until = t
	e.changed.wake()
	return nil
}

// SetReadDeadline implements net.Conn, and so do those that follow.
func (e *end) SetReadDeadline(t time.Time) error { return e.SetDeadline(t) }
func (e *end) SetWriteDeadline(time.Time) error  { return nil }
func (e *end) LocalAddr() net.Addr               { return address(e.from) }
func (e *end) RemoteAddr() net.Addr              { return address(e.to) }
