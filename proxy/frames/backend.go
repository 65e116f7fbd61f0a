package frames

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// BackendConfig bounds a Backend. A zero value stands for the default.
type BackendConfig struct {
	// Handshake bounds the wait for the storage's settings; 10 s.
	Handshake time.Duration
	// Keepalive is after how long a silent connection is pinged; 20 s. It is lost if it stays silent for KeepaliveTimeout more;
	// 10 s. A negative Keepalive sends no pings.
	Keepalive, KeepaliveTimeout time.Duration
	// MaxHeader bounds the size of a header list of an answer; 1 MiB.
	MaxHeader int
	// Socket is as in Config.
	Socket syscall.Conn
}

const (
	// backendWindow is the window of the whole connection to a storage. It is enlarged as bytes arrive: the windows of the calls
	// bound the bytes that are kept for clients.
	backendWindow = 16 << 20
	// firstWindow is the window of a call at first, and laterWindow once laterAfter bytes have been written to its client,
	// or for a large message.
	firstWindow = 64 << 10
	laterWindow = 1 << 20
	laterAfter  = 256 << 10
	// lastID is the highest stream id that is used; before it, another connection takes over.
	lastID = 1<<31 - 1001
	// maxBackendQueue is how many bytes for a storage are queued before the connection counts as lost.
	maxBackendQueue = 8 << 20
)

// ErrFull says that a storage takes no more calls at a time, or none of this size.
var ErrFull = errors.New("the storage takes no more calls at a time")

var (
	errAway    = errors.New("the storage goes away")
	errSilent  = errors.New("the storage does not answer a ping")
	errExpired = errors.New("the deadline of the call has passed")
)

// Backend is an HTTP/2 connection to a storage that carries diverted calls.
type Backend struct {
	conn    net.Conn
	cfg     BackendConfig
	out     *sender
	done    chan struct{} // closed when no calls are taken any more
	reading sync.WaitGroup

	lastRead atomic.Int64 // when something was read, in Unix nanoseconds

	mu         sync.Mutex
	streams    map[uint32]*stream // guarded by mu, as is all that follows
	nextID     uint32
	away       error // no calls are taken any more
	lost       error // the connection has ended
	maxStreams uint32
	maxList    int64 // size of the largest header list that the storage takes; 0 for any
	window     int64 // of the connection, for requests
	initial    int64 // of a call, for requests
	scratch    []byte
	ticking    *time.Timer // looks for calls whose deadlines have passed, while there are calls
	ticks      bool        // ticking is running
	alive      *time.Timer // pings
	pinged     time.Time   // when a ping was sent that is not yet answered; zero for none
}

// stream is a call on a Backend.
type stream struct {
	backend  *Backend
	id       uint32
	to       receiver
	deadline time.Time

	// Guarded by the backend's mu:
	gone   bool
	window int64 // that the storage may still send
	limit  int64 // to which window is enlarged
	unpaid int64 // bytes that were written to the client, and not yet returned to the window
	total  int64 // bytes that were written to the client
}

// receiver gets the answer of a stream. Its methods but extend are called without the backend's mu. The first three return false if the storage
// is to be told that nothing more is wanted.
type receiver interface {
	// headers gets the fields before messages, or the trailers if end.
	headers(fields []hpack.HeaderField, end bool) (ok bool)
	// data gets whole DATA frames without flags and padding. It may change their ids, and must not keep them.
	data(frames []byte) (ok bool)
	// halfDone says that the answer ended without trailers, reset and lost that it ends early, and expired that the deadline has
	// passed.
	halfDone()
	reset(code http2.ErrCode)
	lost(err error)
	expired()
	// extend asks whether the storage may send n more bytes ahead of the client. It is called under the backend's mu.
	extend(n int64) (ok bool)
	// yield says that another storage may answer sooner.
	yield()
	// flush ends a batch.
	flush()
}

// NewBackend begins HTTP/2 on conn, after TLS, and waits for the storage's settings. It takes over conn, also when it fails.
func NewBackend(conn net.Conn, cfg BackendConfig) (*Backend, error) {
	cfg.setDefaults()
	b := &Backend{
		conn: conn, cfg: cfg, out: newSender(conn, cfg.Socket), done: make(chan struct{}),
		streams: map[uint32]*stream{}, nextID: 1, maxStreams: maxWindow, window: defaultWindow, initial: defaultWindow,
	}
	b.out.wrote = func(*call, int) {}
	settled := make(chan struct{})
	r := newBackendReader(b, settled)
	b.lastRead.Store(time.Now().UnixNano())

	hello := []byte(http2.ClientPreface)
	settings := appendSetting(nil, http2.SettingHeaderTableSize, 0)
	settings = appendSetting(settings, http2.SettingEnablePush, 0)
	settings = appendSetting(settings, http2.SettingInitialWindowSize, firstWindow)
	settings = appendSetting(settings, http2.SettingMaxHeaderListSize, uint32(cfg.MaxHeader))
	hello = append(appendHead(hello, len(settings), http2.FrameSettings, 0, 0), settings...)
	b.out.send(appendWindowUpdate(hello, 0, backendWindow-defaultWindow), nil, 0)

	b.reading.Go(r.read)
	timer := time.NewTimer(cfg.Handshake)
	defer timer.Stop()
	var err error
	select {
	case <-settled:
		b.keepAlive()
		return b, nil
	case <-timer.C:
		err = errors.New("the storage sends no settings")
	case <-b.done:
		err = b.Err()
	}
	b.Close(err)
	b.reading.Wait()
	return nil, fmt.Errorf("begin HTTP/2: %w", err)
}

func (c *BackendConfig) setDefaults() {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	if c.MaxHeader == 0 {
		c.MaxHeader = 1 << 20
	}
	set(&c.Handshake, 10*time.Second)
	set(&c.Keepalive, 20*time.Second)
	set(&c.KeepaliveTimeout, 10*time.Second)
}

// Close ends the Backend. Calls without an answer are passed to gRPC's server, the others end with UNAVAILABLE and the text of err.
func (b *Backend) Close(err error) {
	b.mu.Lock()
	if b.lost != nil {
		b.mu.Unlock()
		return
	}
	b.lost = err
	b.leaveLocked(err)
	for _, t := range []*time.Timer{b.ticking, b.alive} {
		if t != nil {
			t.Stop()
		}
	}
	left := make([]*stream, 0, len(b.streams))
	for _, s := range b.streams {
		s.gone = true
		left = append(left, s)
	}
	clear(b.streams)
	b.mu.Unlock()
	b.out.fail(err)
	for _, s := range left {
		s.to.lost(err)
	}
}

// leaveLocked takes no more calls.
func (b *Backend) leaveLocked(why error) {
	if b.away == nil {
		b.away = why
		close(b.done)
	}
}

// Done is closed when the Backend takes no calls any more: it was closed or lost, or the storage goes away. Calls under way may go on;
// after the last of them the connection is closed.
func (b *Backend) Done() <-chan struct{} { return b.done }

// Err says why Done is closed; nil before.
func (b *Backend) Err() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.away
}

// Outstanding is how many calls are under way.
func (b *Backend) Outstanding() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.streams)
}
