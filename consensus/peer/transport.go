package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config is the configuration of a Transport; all fields without a default are needed.
type Config struct {
	// Name and ID are this instance's.
	Name, ID string
	// ListenAddr is where it listens, AdvertiseAddr how others name that place;
	// empty: as the listener does.
	ListenAddr, AdvertiseAddr string
	// Credentials are shown to peers.
	Credentials Credentials
	// Cluster returns the id of this instance's cluster, empty while it has none.
	Cluster func() string
	// Admit tells whether the instance of that name and id is a peer. It is
	// called by any number of goroutines.
	Admit func(name, id string) bool
	// MetOther is told of an instance of another cluster that has proved its name, however the
	// connection came about. It is called by any number of goroutines, and must not block.
	MetOther func(*OtherCluster)
	// Removed tells of an id whether its instance was removed from the cluster, which is final.
	// Such an instance is refused under any name; nil refuses none. It is called by any
	// number of goroutines.
	Removed func(id string) bool
	// Outcast is told that a peer, which has proved its name, has refused this instance because
	// it was removed. It is called by any number of goroutines, and must not block.
	Outcast func(peer string)
	// HandshakeTimeout bounds the opening of a connection that comes in; it
	// defaults to 5 s.
	HandshakeTimeout time.Duration
	// Logger defaults to none.
	Logger *slog.Logger
	// Wrap is put around plain connections, below TLS; it defaults to nothing.
	Wrap func(net.Conn) net.Conn
	// Dial makes plain connections; it defaults to TCP.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
	// Hosts are the hosts of the listed peers: connections from there have slots of their
	// own while they have proved nothing.
	Hosts []string
	// Resolve looks up a host; it defaults to the system's way. With a Dial of its own
	// a Transport looks up nothing by default.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Listen opens ports; it defaults to TCP.
	Listen func(ctx context.Context, addr string) (Listener, error)
}

// Listener is a port whose Accept can be ended while it stays open.
type Listener interface {
	net.Listener
	SetDeadline(at time.Time) error
}

var (
	// ErrKilled: this instance has taken itself out.
	ErrKilled = errors.New("this instance takes no part any more")
	errClosed = fmt.Errorf("the port for peers is closed: %w", net.ErrClosed)
)

// Transport is the port for peers, and the connections through it and to others.
type Transport struct {
	config   Config
	guard    *guard
	listener Listener
	raft     *streams
	calls    *streams
	openings openings
	seldom   Seldom // what was refused

	mu     sync.Mutex
	conns  map[*Conn]bool // open ones
	ended  error          // why there are no more
	closed bool           // the listener too
}

// Listen opens the port. Connections are let in by Run.
func Listen(ctx context.Context, c Config) (*Transport, error) {
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = 5 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Resolve == nil {
		c.Resolve = resolveHost
		if c.Dial != nil {
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}
	}
	if c.Wrap == nil {
		c.Wrap = func(plain net.Conn) net.Conn { return plain }
	}
	if c.Dial == nil {
		c.Dial = dialTCP
	}
	if c.Listen == nil {
		c.Listen = listenTCP
	}
	g, err := newGuard(c.Credentials)
	if err != nil {
		return nil, err
	}
	l, err := c.Listen(ctx, c.ListenAddr)
	if err != nil {
		return nil, err
	}
	if c.AdvertiseAddr == "" {
		c.AdvertiseAddr = l.Addr().String()
	}
	t := &Transport{config: c, guard: g, listener: l, conns: make(map[*Conn]bool)}
	t.raft, t.calls = newStreams(t, raftKind), newStreams(t, callKind)
	return t, nil
}

// Dialler returns a Transport without a port: it only connects, and is closed, not run.
func Dialler(c Config) (*Transport, error) {
	c.Listen = func(context.Context, string) (Listener, error) { return noPort{}, nil }
	return Listen(context.Background(), c)
}

// noPort is the port of a Transport that only connects.
type noPort struct{}

func (noPort) Accept() (net.Conn, error)   { return nil, errClosed }
func (noPort) Close() error                { return nil }
func (noPort) Addr() net.Addr              { return advertised("") }
func (noPort) SetDeadline(time.Time) error { return nil }

// AdvertiseAddr returns the host:port at which others reach this instance.
func (t *Transport) AdvertiseAddr() string { return t.config.AdvertiseAddr }

// Calls returns the listener for calls of peers, whose connections are *Conn.
func (t *Transport) Calls() net.Listener { return t.calls }

// Meet connects to the instance of that name at addr, whether Config.Admit lets
// it in or not: another member vouches for it. Nothing can be done with the connection
// but to see that it is there.
func (t *Transport) Meet(ctx context.Context, addr, name string) (Addr, error) {
	c, err := t.dial(ctx, addr, callKind, wanted{name: name})
	if err != nil {
		return Addr{}, err
	}
	return c.Peer(), c.Close()
}

// Run lets connections in until ctx ends or the port is closed. The port stays
// open after it; a connection that comes then waits for the end of the process, or for Close.
func (t *Transport) Run(ctx context.Context) {
	var openings sync.WaitGroup
	defer openings.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the lookup, where the port was closed
	if len(t.config.Hosts) > 0 {
		openings.Go(func() { t.openings.lookup(ctx, t.config.Hosts, t.config.Resolve) })
	}
	defer context.AfterFunc(ctx, func() {
		// The only way to end an Accept without closing the port. Should it
		// fail the port is closed already, which ends the Accept too.
		_ = t.listener.SetDeadline(time.Unix(1, 0))
	})()
	for {
		plain, err := t.listener.Accept()
		if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
			if err == nil {
				t.drop(plain)
			}
			return
		}
		if err != nil { // out of file descriptors, most likely
			t.config.Logger.Warn("the port for peers takes no connection", "err", err)
			pause(ctx, 50*time.Millisecond)
			continue
		}
		opening, oldest := t.openings.begin(plain)
		if oldest != nil { // so many strangers
			t.drop(oldest)
			if dropped, admitted := t.seldom.Admit("full", time.Now()); admitted {
				t.config.Logger.Warn("the port for peers has too many connections that prove nothing: the oldest is dropped",
					"remote", oldest.RemoteAddr().String(), "dropped", dropped)
			}
		}
		openings.Go(func() {
			defer opening.end()
			t.letIn(ctx, plain)
		})
	}
}

func (t *Transport) letIn(ctx context.Context, plain net.Conn) {
	ctx, cancel := context.WithTimeout(ctx, t.config.HandshakeTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { t.drop(plain) })
	err := plain.SetReadDeadline(time.Now().Add(firstByteTimeout))
	var c *Conn
	var k kind
	if err == nil {
		c, k, err = t.accept(ctx, plain)
	}
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = t.keep(c)
	}
	if err == nil {
		if err = t.of(k).put(ctx, c); err != nil {
			t.forget(c)
		}
	}
	if err != nil {
		t.drop(plain)
		t.refused(plain.RemoteAddr(), err)
	}
}

// refused logs that a connection was not admitted, once a minute for each host and
// reason: a leader tries the former instance at an address many times a second.
func (t *Transport) refused(remote net.Addr, err error) {
	if dropped, ok := t.seldom.Admit(hostOf(remote.String())+" "+err.Error(), time.Now()); ok {
		t.config.Logger.Warn("a connection to the port for peers was not let in", "remote", remote.String(), "err", err, "repeated", dropped)
	}
}

func (t *Transport) of(k kind) *streams {
	if k == raftKind {
		return t.raft
	}
	return t.calls
}

// drop closes a connection that has come to nothing.
func (t *Transport) drop(plain net.Conn) {
	if err := plain.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.config.Logger.Debug("close a connection", "remote", plain.RemoteAddr().String(), "err", err)
	}
}

// wanted is the peer that is to be at the other end: any that is let in, or the one of
// that id, or the one of that name, let in or not.
type wanted struct{ id, name string }

// dial connects and makes the opening within ctx.
func (t *Transport) dial(ctx context.Context, addr string, k kind, who wanted) (*Conn, error) {
	if err := t.end(); err != nil {
		return nil, err
	}
	plain, err := t.config.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { t.drop(plain) })
	c, err := t.open(ctx, plain, k, who)
	if err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = t.keep(c)
	}
	if err != nil {
		t.drop(plain)
		return nil, fmt.Errorf("connect to the peer at %s: %w", addr, err)
	}
	return c, nil
}

// keep notes an open connection, so that Kill finds it.
func (t *Transport) keep(c *Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return t.ended
	}
	t.conns[c] = true
	return nil
}

// Connected tells whether there is a connection with an instance of that name that was of this
// instance's cluster when it was opened, and so still is.
func (t *Transport) Connected(name string) bool {
	own := t.config.Cluster()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		if c.remote.Name == name && c.cluster != "" && c.cluster == own {
			return true
		}
	}
	return false
}

func (t *Transport) forget(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

// end returns why there are no connections any more, or nil.
func (t *Transport) end() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// Kill drops every connection, and takes and makes none from here on, so that
// the others do without this instance. The port stays open.
func (t *Transport) Kill() { t.shut(ErrKilled) }

// Close is Kill, and closes the port too.
func (t *Transport) Close() error {
	t.shut(errClosed)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	t.raft.end()
	t.calls.end()
	return t.listener.Close()
}

func (t *Transport) shut(why error) {
	t.mu.Lock()
	if t.ended == nil {
		t.ended = why
	}
	open := slices.Collect(maps.Keys(t.conns)) // each of which forgets itself
	t.mu.Unlock()
	for _, c := range open {
		t.drop(c)
	}
}

// userTimeout ends a connection whose data the other host has not acknowledged
// for so long; without any data to send, keepalive does.
const userTimeout = time.Second

func keepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive(), Control: setUserTimeout}
	return d.DialContext(ctx, "tcp", addr)
}

func listenTCP(ctx context.Context, addr string) (Listener, error) {
	lc := net.ListenConfig{KeepAliveConfig: keepAlive(), Control: setUserTimeout}
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil // as the network says
}

// Refuses tells whether the port at addr refuses connections, which proves that
// no process has it open. An error means that it cannot be told.
func (t *Transport) Refuses(ctx context.Context, addr string) (bool, error) {
	c, err := t.config.Dial(ctx, addr)
	if err == nil {
		return false, c.Close()
	}
	if errors.Is(err, unix.ECONNREFUSED) {
		return true, nil
	}
	return false, err
}

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
