package storage

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"

	"praefect/proxy/channel"
)

// Target names one storage of one virtual storage and says how to reach it.
// Two targets may share an address; each has its own connection.
type Target struct {
	VirtualStorage string
	Storage        string
	// Address is tcp://host:port, tls://host:port, unix:path or
	// dns:[//server/]host:port.
	Address string
	// Token is the storage's secret; empty means that it asks for none.
	Token string
}

// Config holds the settings of all connections. The zero value of each field
// means its default.
type Config struct {
	// ProbeInterval is the pause between two health checks (500 ms), twice as long for a storage
	// that is well and not in use, as far as Silence lets it. It must be shorter than Silence.
	ProbeInterval time.Duration
	// ProbeTimeout is when a health check counts as slow (1 s).
	ProbeTimeout time.Duration
	// Silence is how long a storage that was asked may send nothing at all
	// before its connection is given up (1.5 s, but at least three intervals).
	Silence time.Duration
	// Stall takes the place of Silence while the storage's host acknowledges the data that
	// it is sent, so that only the process says nothing: it is more likely to be
	// busy than dead (5 s, but at least Silence).
	Stall time.Duration
	// DialTimeout bounds the making of the network connection (2 s).
	DialTimeout time.Duration
	// VerifyTimeout bounds dial, health check and ServerInfo together (5 s).
	VerifyTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause between two attempts to connect
	// (100 ms, 1 s); the first attempt after a loss is made at once.
	BackoffMin, BackoffMax time.Duration
	// KeepaliveTime is the interval of HTTP/2 pings on an idle connection
	// (20 s; servers of Gitaly's kind refuse less than 10 s).
	KeepaliveTime time.Duration

	// StreamWindow is how many bytes a storage may send on one stream ahead of
	// its reader (1 MiB): enough not to bind a bulk stream in a data centre, and
	// the memory that one stalled client can cost.
	StreamWindow int32
	// ConnectionWindow is the same for a connection (16 MiB).
	ConnectionWindow int32
	// ReadBuffer and WriteBuffer are the sizes in bytes of the data read or
	// written with one system call (128 KiB).
	ReadBuffer, WriteBuffer int

	// Backchannel makes the server that answers the calls of a storage over a
	// connection: its votes. Each connection to a storage that speaks the
	// backchannel gets a server of its own, which is stopped when the connection
	// is closed, so that a vote belongs to exactly one: that of Conn.Target and
	// Conn.Generation. It is called before the connection is verified and
	// published, with a Conn of which it may keep no more than that. Nil: the
	// backchannel is never spoken, and there are no sidechannels.
	Backchannel func(*Conn) *grpc.Server
	// Used is called when an RPC begins on a connection, unless one has begun there since Observations
	// was last called; it must not wait. Nil: nothing is to be told.
	Used func()
	// Frames has each Conn make a network connection more, over which reads can be forwarded frame by
	// frame; see Conn.Divert.
	Frames bool
	// Channels are the sizes of the streams that share a connection with the backchannel.
	Channels channel.Config

	// TLS is the base of the configuration for tls:// addresses. Default: the
	// system's roots. Versions below 1.2 are never spoken.
	TLS *tls.Config
	// Dial opens network connections; nil for the network. Tests give it.
	Dial func(ctx context.Context, network, endpoint string) (net.Conn, error)
	// Wrap, if it is set, is put around network connections, below TLS.
	Wrap func(net.Conn) net.Conn
	// DialOptions come after all others, such as a stats.Handler.
	DialOptions []grpc.DialOption
}

// withDefaults returns c with every unset field set, or the contradiction.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&c.ProbeInterval, 500 * time.Millisecond},
		{&c.ProbeTimeout, time.Second},
		{&c.Silence, max(1500*time.Millisecond, 3*c.ProbeInterval)},
		{&c.DialTimeout, 2 * time.Second},
		{&c.VerifyTimeout, 5 * time.Second},
		{&c.BackoffMin, 100 * time.Millisecond},
		{&c.BackoffMax, time.Second},
		{&c.KeepaliveTime, 20 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
		if *d.field < 0 {
			return c, fmt.Errorf("storage connections: negative duration %v", *d.field)
		}
	}
	setDefault(&c.Stall, max(5*time.Second, c.Silence))
	setDefault(&c.StreamWindow, 1<<20)
	setDefault(&c.ConnectionWindow, 16<<20)
	setDefault(&c.ReadBuffer, 128<<10)
	setDefault(&c.WriteBuffer, 128<<10)
	if c.ProbeInterval >= c.Silence {
		return c, fmt.Errorf("storage connections: probe interval %v is not shorter than silence %v", c.ProbeInterval, c.Silence)
	}
	if c.Stall < c.Silence {
		return c, fmt.Errorf("storage connections: stall %v is shorter than silence %v", c.Stall, c.Silence)
	}
	if c.BackoffMin > c.BackoffMax {
		return c, fmt.Errorf("storage connections: least pause %v is longer than the longest %v", c.BackoffMin, c.BackoffMax)
	}
	return c, nil
}

// quietInterval is the time between two health checks of a storage that is well and not in use: short
// enough for one of them to be under way before Silence has passed.
func (c Config) quietInterval() time.Duration {
	return max(c.ProbeInterval, min(2*c.ProbeInterval, c.Silence*2/3))
}

func setDefault[T int | int32 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
