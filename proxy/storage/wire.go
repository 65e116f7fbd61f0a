package storage

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// wire notes when the other end of a network connection was last heard,
// with any kind of data, and why the connection ended.
type wire struct {
	born  time.Time
	heard atomic.Int64 // nanoseconds after born, 0 for never
	host  atomic.Pointer[host]
	ended atomic.Pointer[error]
}

func newWire() *wire { return &wire{born: time.Now()} }

// touch makes now the last time that the storage was heard.
func (w *wire) touch() { w.heard.Store(max(1, int64(time.Since(w.born)))) }

// answered reports whether the storage was ever heard.
func (w *wire) answered() bool { return w.heard.Load() > 0 }

// silence is the time since the storage was last heard.
func (w *wire) silence() time.Duration {
	return time.Since(w.born) - time.Duration(w.heard.Load())
}

// end notes the error that ended the connection. That this side closed it is no reason.
func (w *wire) end(err error) {
	if !errors.Is(err, net.ErrClosed) {
		w.ended.CompareAndSwap(nil, &err)
	}
}

// why returns the error that ended the connection, or otherwise if nothing was noted.
func (w *wire) why(otherwise error) error {
	if err := w.ended.Load(); err != nil {
		return *err
	}
	return otherwise
}

// hostAnswers tells whether a connection was made to the host, and the host was heard lately.
func (w *wire) hostAnswers(cfg Config) bool {
	return w.host.Load() != nil && w.hostSilence() < cfg.Silence
}

func (w *wire) around(conn net.Conn, cfg Config) net.Conn {
	w.host.Store(newHost(conn))
	if cfg.Wrap != nil {
		conn = cfg.Wrap(conn)
	}
	return &listened{Conn: conn, wire: w}
}

// hostSilence is the time since the host at the other end acknowledged anything that
// it owes an acknowledgement for. Where that cannot be told it is the silence of the
// storage.
func (w *wire) hostSilence() time.Duration {
	if h := w.host.Load(); h != nil {
		if silence, ok := h.silence(); ok {
			return silence
		}
	}
	return w.silence()
}

type listened struct {
	net.Conn
	wire *wire
}

// Read implements net.Conn.
func (l *listened) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 {
		l.wire.touch()
	}
	if err != nil {
		l.wire.end(fmt.Errorf("connection ended: %w", err))
	}
	return n, err
}
