package frames

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/status"
)

var errStub = errors.New("not yet")

// Front is the connection of a client, as gRPC's server gets it: server credentials return it from ServerHandshake.
type Front struct{ net.Conn }

// NewFront wraps the connection of a client, after TLS and before its HTTP/2 preface. gRPC's server must keep the default size of its
// header table.
func NewFront(conn net.Conn, p Policy, cfg Config) *Front { return &Front{conn} }

// Outstanding is how many calls are diverted on the connection now.
func (f *Front) Outstanding() int { return 0 }

// Backend is an HTTP/2 connection to a storage that carries diverted calls.
type Backend struct{}

// NewBackend begins HTTP/2 on conn, after TLS, and waits for the storage's settings. It takes over conn, also when it fails.
func NewBackend(conn net.Conn, cfg BackendConfig) (*Backend, error) { return nil, errStub }

// Close ends the Backend. Calls without an answer are passed to gRPC's server, the others end with UNAVAILABLE and the text of err.
func (b *Backend) Close(err error) {}

// Done is closed when the Backend takes no calls any more: closed, lost, or told by the storage to go away. The wiring makes another.
// Calls under way may go on.
func (b *Backend) Done() <-chan struct{} { return nil }

// Err says why Done is closed; nil before.
func (b *Backend) Err() error { return nil }

// Outstanding is how many calls are under way.
func (b *Backend) Outstanding() int { return 0 }

// Call makes a unary call of the caller's own. fields are as in Diversion. The error says that there was no status; ErrFull, that
// the Backend has no room.
func (b *Backend) Call(ctx context.Context, fields []hpack.HeaderField, message []byte) (reply []byte, st *status.Status, err error) {
	return nil, nil, errStub
}

// ErrFull says that a storage takes no more calls at a time.
var ErrFull = errors.New("the storage takes no more calls at a time")

// Timeout reads grpc-timeout in the fields of a call. ok is false if there is none, or none that is valid.
func Timeout(fields []hpack.HeaderField) (timeout time.Duration, ok bool) { return 0, false }

// Value is the first value of a name in fields, "" without one.
func Value(fields []hpack.HeaderField, name string) string { return "" }
