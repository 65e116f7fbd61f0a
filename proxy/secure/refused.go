package secure

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/credentials"
)

// logEvery bounds how often refused connections are logged: a scanner makes many.
const logEvery = 10 * time.Second

// Watched is credentials for a listener whose failed handshakes are counted and
// logged. gRPC names them only in its own log, which is off by default.
func Watched(c credentials.TransportCredentials, log *slog.Logger, refused func()) credentials.TransportCredentials {
	return &watched{c, &refusals{log: log, count: refused}}
}

type watched struct {
	credentials.TransportCredentials
	refusals *refusals
}

// Clone implements credentials.TransportCredentials.
func (w *watched) Clone() credentials.TransportCredentials {
	return &watched{w.TransportCredentials.Clone(), w.refusals}
}

// ServerHandshake implements credentials.TransportCredentials.
func (w *watched) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ServerHandshake(raw)
	// A connection that ends before it says anything is the check of a balancer.
	if err != nil && !errors.Is(err, io.EOF) {
		w.refusals.note(raw.RemoteAddr(), err, time.Now())
	}
	return conn, info, err
}

// refusals are the failed handshakes of one listener.
type refusals struct {
	log   *slog.Logger
	count func()

	mu     sync.Mutex
	silent int       // refused connections since the last logged one; guarded by mu
	logged time.Time // when one was logged last; guarded by mu
}

func (r *refusals) note(from net.Addr, err error, now time.Time) {
	r.count()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.logged) < logEvery {
		r.silent++
		return
	}
	r.log.Warn("a connection was refused: no TLS session with the client", "remote", from.String(), "err", err, "more", r.silent)
	r.logged, r.silent = now, 0
}
