package channel

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/yamux"
)

// The magic bytes are as many for each kind, so that the first bytes of a
// stream can be read before it is known which it is.
const (
	backchannelMagic = "backchannel"
	sidechannelMagic = "sidechannel"
	magicSize        = len(backchannelMagic)
)

const (
	// openingTimeout bounds everything between a stream's first byte and its use.
	openingTimeout = 5 * time.Second
	// greetingTimeout bounds the wait for the first bytes of a connection, and
	// then for the rest of the bytes that must come before its first call.
	greetingTimeout = 10 * time.Second
	// jamTimeout is how long a connection may take nothing at all before a write
	// to one of its streams fails. Nothing else interrupts such a write.
	jamTimeout = 30 * time.Second
	// readerTimeout is how long a client may take nothing of its sidechannel.
	readerTimeout = 10 * time.Minute
	// A side that has closed a stream waits so long for the other to close it,
	// too; then it is reset. The client closes when it has read the rest, so
	// that it need not wait; but the data that it has yet to read when the server closes a
	// reset would take away.
	clientCloseTimeout = time.Second
	serverCloseTimeout = 5 * time.Minute
	// leastServerWindow is the window of the data that clients send: all their calls share
	// the first stream of the connection.
	leastServerWindow = 16 << 20
)

// Config sets the sizes of a session. The zero value of a field means its
// default, which is that of Gitaly's clients.
type Config struct {
	// Window is how many bytes the other side may send on one stream ahead of its
	// reader (256 KiB, and not less; where we listen 16 MiB at least).
	Window uint32
	// Backlog is how many streams may be under way to being accepted (256).
	Backlog int
	// Logger is told of streams that are not as they should be, at debug. It may
	// be nil.
	Logger *slog.Logger
}

func (c Config) clientMux() *yamux.Config { return c.mux(0, clientCloseTimeout) }

func (c Config) serverMux() *yamux.Config { return c.mux(leastServerWindow, serverCloseTimeout) }

func (c Config) mux(leastWindow uint32, closeTimeout time.Duration) *yamux.Config {
	m := yamux.DefaultConfig()
	m.EnableKeepAlive = false // gRPC's pings do that
	m.MaxStreamWindowSize = max(m.MaxStreamWindowSize, c.Window, leastWindow)
	if c.Backlog > 0 {
		m.AcceptBacklog = c.Backlog
	}
	m.ConnectionWriteTimeout = jamTimeout
	m.StreamCloseTimeout = closeTimeout
	m.LogOutput, m.Logger = nil, c.log()
	return m
}

func (c Config) log() muxLog {
	if c.Logger == nil {
		return muxLog{slog.New(slog.DiscardHandler)}
	}
	return muxLog{c.Logger}
}

// muxLog is the log of yamux.
type muxLog struct{ log *slog.Logger }

// Print implements yamux.Logger.
func (l muxLog) Print(v ...any) { l.Printf("%s", fmt.Sprint(v...)) }

// Println implements yamux.Logger.
func (l muxLog) Println(v ...any) { l.Print(v...) }

// Printf implements yamux.Logger.
func (l muxLog) Printf(format string, v ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("multiplexed connection", "err", fmt.Sprintf(format, v...))
	}
}
