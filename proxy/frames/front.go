package frames

import (
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
)

// Front is the connection of a client, as gRPC's server gets it: server credentials return it from ServerHandshake.
type Front struct {
	net.Conn
	policy Policy
	cfg    Config
	out    *sender

	in  inbound  // only Read
	pre outbound // only Write

	ahead atomic.Int64 // bytes that storages may send ahead of the client

	mu sync.Mutex
	// calls are the calls that are held or diverted, or wait to be passed, by the client's id; guarded by mu, as is all that follows.
	calls    map[uint32]*call
	holding  []*call // the calls that are held, the oldest first
	diverted int
	// passed are the calls of gRPC's server, by both ids.
	passed    map[uint32]*passedCall
	byInner   map[uint32]*passedCall
	nextInner uint32
	resets    []*passedCall // reset by the client, whose inner ids gRPC's server may still use; oldest first
	maxID     uint32        // the highest id of a call that the client has begun
	lastID    uint32        // the last id in gRPC's final GOAWAY, in the client's numbers
	away      bool          // gRPC's server has sent its final GOAWAY
	graceful  bool          // which blames the client for nothing

	windows windows
	pings   pings
	limits  limits

	passing  []*call     // wait for the reader to pass them
	owed     int64       // bytes that gRPC's server thinks the client has not yet taken, but that were never sent
	told     []*call     // ended: to be told without the lock
	holds    *time.Timer // passes calls that were held too long
	stalls   *time.Timer // resets calls of which the client takes nothing
	closing  *time.Timer // closed gracefully: ends diverted calls that go on too long; nil before
	lateness *time.Timer // ends calls that are answered here at their deadlines
	looks    time.Time   // when lateness fires; zero if it does not
	closed   bool        // nothing is read or written any more

	stallWatched bool // stalls is running

	waking sync.Mutex
	woke   bool // a read deadline was set in the past to wake the reader; guarded by waking
}

// passedCall is a call of gRPC's server.
type passedCall struct {
	id, inner              uint32
	clientDone, serverDone bool
}

// NewFront wraps the connection of a client, after TLS and before its HTTP/2 preface. gRPC's server must have a limit of header lists
// (grpc.MaxHeaderListSize), and keep the default size of its header table.
func NewFront(conn net.Conn, p Policy, cfg Config) *Front {
	cfg.setDefaults()
	f := &Front{
		Conn: conn, policy: p, cfg: cfg, out: newSender(conn, cfg.Socket),
		calls: map[uint32]*call{}, passed: map[uint32]*passedCall{}, byInner: map[uint32]*passedCall{}, nextInner: 1,
		windows: windows{conn: defaultWindow, initial: defaultWindow}, limits: limits{streams: math.MaxUint32},
	}
	f.in = inbound{front: f, preface: len(http2.ClientPreface)}
	f.out.stays = cfg.Busy
	f.out.wrote = func(c *call, n int) { c.wrote(n) }
	return f
}

func (c *Config) setDefaults() {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if c.Held == 0 {
		c.Held = 64
	}
	if c.Ahead == 0 {
		c.Ahead = 64 << 20
	}
	set(&c.Hold, time.Second)
	set(&c.PingMinTime, 10*time.Second)
	set(&c.SendStall, 10*time.Minute)
	set(&c.Drain, 10*time.Second)
}

// Outstanding is how many calls are diverted on the connection now.
func (f *Front) Outstanding() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.diverted
}

// unlock unlocks mu, and tells the policy about the calls that have ended.
func (f *Front) unlock() {
	told := f.told
	f.told = nil
	finished := f.closing != nil && len(f.calls) == 0 && !f.closed
	if finished {
		f.closed = true
		f.closing.Stop()
	}
	wake := (len(f.passing) > 0 || f.owed > 0) && !f.closed
	f.mu.Unlock()
	if wake {
		f.wake()
	}
	for _, c := range told {
		c.tell()
	}
	if finished {
		f.out.finish()
	}
}

// Close implements net.Conn. After gRPC's server has sent its final GOAWAY and has ended its own calls, the first Close lets the
// diverted calls end. Any other Close ends them.
func (f *Front) Close() error {
	f.mu.Lock()
	if f.graceful && len(f.passed) == 0 && len(f.calls) > 0 && f.closing == nil && !f.closed {
		f.closing = time.AfterFunc(f.cfg.Drain, func() { _ = f.cut(net.ErrClosed) })
		f.mu.Unlock()
		return nil
	}
	f.mu.Unlock()
	return f.cut(net.ErrClosed)
}

// cut ends everything on the connection.
func (f *Front) cut(err error) error {
	f.mu.Lock()
	f.closed = true
	for _, t := range []*time.Timer{f.holds, f.stalls, f.closing, f.lateness, f.pings.holding} {
		if t != nil {
			t.Stop()
		}
	}
	cancelled := make([]*call, 0, len(f.calls))
	for _, c := range f.calls {
		cancelled = append(cancelled, c)
	}
	for _, c := range cancelled {
		c.abandon()
	}
	f.unlock()
	f.out.fail(err)
	return f.out.close()
}

// Read implements net.Conn: gRPC's server gets the frames of the calls that are passed, and the frames of the connection.
func (f *Front) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if err := f.in.deferred(); err != nil {
			return 0, err
		}
		if n := f.in.take(p); n > 0 {
			return n, nil
		}
		f.out.throttle()
		n, err := f.Conn.Read(p)
		kept, fault := 0, error(nil)
		if n > 0 {
			kept, fault = f.in.feed(p[:n], true)
			f.in.endBatch()
		}
		switch {
		case fault != nil:
			_ = f.cut(fault)
			return 0, fault
		case kept > 0:
			return kept, nil // an error comes again
		case err != nil && len(f.in.spill) == 0 && !f.woken(err):
			if f.gracefully() { // gRPC's server does not close a connection twice
				_ = f.cut(err)
				err = io.EOF
			}
			return 0, err
		}
	}
}

// wake has the reader look again for calls to pass.
func (f *Front) wake() {
	f.waking.Lock()
	defer f.waking.Unlock()
	f.woke = true
	_ = f.SetReadDeadline(time.Unix(1, 0)) // fails if it is closed, which the reader learns by itself
}

// woken tells whether an error of a read is that of wake. It may be that of a former one: a connection whose deadlines are
// timers, as in memory, may end a read after its deadline was lifted. Nothing else sets one after the first wake.
func (f *Front) woken(err error) bool {
	t, ok := err.(net.Error)
	if !ok || !t.Timeout() {
		return false
	}
	f.waking.Lock()
	defer f.waking.Unlock()
	return f.woke && f.SetReadDeadline(time.Time{}) == nil
}

// gracefully tells whether the connection was closed gracefully.
func (f *Front) gracefully() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closing != nil
}
