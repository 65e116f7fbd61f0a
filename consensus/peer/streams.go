package peer

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// streams is a listener for the connections of one kind.
type streams struct {
	transport *Transport
	kind      kind
	incoming  chan *Conn
	ending    sync.Once
	ended     chan struct{}
}

func newStreams(t *Transport, k kind) *streams {
	return &streams{transport: t, kind: k, incoming: make(chan *Conn), ended: make(chan struct{})}
}

// put hands a connection to the caller of Accept.
func (s *streams) put(ctx context.Context, c *Conn) error {
	select {
	case s.incoming <- c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return errClosed
	}
}

func (s *streams) end() { s.ending.Do(func() { close(s.ended) }) }

// Accept implements net.Listener.
func (s *streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.incoming:
		return c, nil
	case <-s.ended:
		return nil, errClosed
	}
}

// Close implements net.Listener. The port stays as it is: it is the Transport's.
func (s *streams) Close() error {
	s.end()
	return nil
}

// Addr implements net.Listener: the name of this instance.
func (s *streams) Addr() net.Addr { return advertised(s.transport.config.AdvertiseAddr) }

// advertised is an address that others resolve.
type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

// Dial implements raft.StreamLayer. The address has the id before it, as
// raftTransport puts it there.
func (s *streams) Dial(target raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	id, addr, _ := strings.Cut(string(target), idMark)
	return s.transport.dial(ctx, addr, raftKind, wanted{id: id})
}
