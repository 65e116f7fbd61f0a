package channel

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// ErrNotSpoken tells that the other side has no backchannel: of a handshake,
// that it answered something else or closed the connection.
var ErrNotSpoken = errors.New("no backchannel: the other side does not speak it")

// Client configures the offer of a connection that we dial to its other side.
type Client struct {
	Config Config
	// Server makes the server that answers calls of the other side. It is called
	// once for each connection, when the other side is known to speak the
	// protocol, and its server is stopped when the connection ends. If it is nil
	// such calls are refused.
	Server func() *grpc.Server
	// Sidechannels has the calls that wait for sidechannels; nil if none does.
	Sidechannels *Registry
	// NotSpoken is called when a handshake ended with ErrNotSpoken, of which gRPC
	// tells no more than a text. It may be nil, and must not block.
	NotSpoken func()
}

// NewClientCredentials returns credentials that open the backchannel on each
// connection, after the handshake of base, which is nil for one without TLS.
func NewClientCredentials(base credentials.TransportCredentials, c Client) credentials.TransportCredentials {
	return clientCredentials{orInsecure(base), c}
}

func orInsecure(base credentials.TransportCredentials) credentials.TransportCredentials {
	if base == nil {
		return insecure.NewCredentials()
	}
	return base
}

type clientCredentials struct {
	credentials.TransportCredentials
	client Client
}

// Clone implements credentials.TransportCredentials.
func (c clientCredentials) Clone() credentials.TransportCredentials {
	return clientCredentials{c.TransportCredentials.Clone(), c.client}
}

// ClientHandshake implements credentials.TransportCredentials.
func (c clientCredentials) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	first, err := c.client.begin(ctx, conn)
	if err != nil {
		if c.client.NotSpoken != nil && errors.Is(err, ErrNotSpoken) {
			c.client.NotSpoken()
		}
		return nil, nil, errors.Join(err, conn.Close())
	}
	return first, info, nil
}

// begin opens the session and its first stream. It waits for the other side's
// first word, so that a peer that does not speak the protocol is known here.
func (c Client) begin(ctx context.Context, conn net.Conn) (net.Conn, error) {
	interrupted := context.AfterFunc(ctx, func() { _ = conn.Close() }) // calls under way then fail
	o := &opening{Conn: conn, spoken: make(chan struct{})}
	mux, first, err := c.greet(o)
	if err == nil {
		select {
		case <-o.spoken:
		case <-mux.CloseChan():
			err = mux.Close() // its reader has ended then
			err = fmt.Errorf("%w (%w)", ErrNotSpoken, errors.Join(o.err, err))
		}
	}
	if !interrupted() {
		err = ctx.Err()
	}
	if err != nil {
		if mux != nil {
			_ = mux.Close() // err says more
		}
		return nil, err
	}
	d := &dialed{client: c, conn: conn, mux: mux}
	d.start()
	return newEnding(first, d.stop), nil
}

// greet names our protocol, and opens the stream for calls.
func (c Client) greet(conn net.Conn) (*yamux.Session, *yamux.Stream, error) {
	if _, err := io.WriteString(conn, backchannelMagic); err != nil {
		return nil, nil, fmt.Errorf("%w (%w)", ErrNotSpoken, err)
	}
	cfg := c.Config.clientMux()
	mux, err := yamux.Client(inspect(&joining{Conn: conn}, cfg.MaxStreamWindowSize), cfg)
	if err != nil {
		return nil, nil, fmt.Errorf("begin a multiplexed session: %w", err)
	}
	first, err := mux.OpenStream()
	if err != nil {
		return mux, nil, fmt.Errorf("%w (%w)", ErrNotSpoken, err)
	}
	return mux, first, nil
}

// dialed is a session that we began. It ends when gRPC closes the first stream,
// which it does in any case: also when the session breaks.
type dialed struct {
	client   Client
	conn     net.Conn
	mux      *yamux.Session
	server   *grpc.Server // nil: no calls are answered
	listener *streamListener
	running  sync.WaitGroup
	sorting  atomic.Int32 // streams of which it is not known yet what they are for
	calling  atomic.Int32 // streams that the server has
}

const (
	// maxSorting bounds the streams of the other side of which it is not known yet
	// their purpose. A sidechannel stops counting when it is found; these are
	// bounded by the calls that wait for one.
	maxSorting = 256
	// maxCalling bounds the streams on which the other side makes calls. It needs one.
	maxCalling = 64
)

// errTooManyStreams tells that the other side opens streams without end.
var errTooManyStreams = errors.New("the other side has too many streams open")

func (d *dialed) start() {
	if d.client.Server != nil {
		d.listener = &streamListener{addr: d.mux.Addr(), streams: make(chan net.Conn), done: d.mux.CloseChan()}
		d.server = d.client.Server()
		d.running.Go(func() { _ = d.server.Serve(d.listener) }) // it ends with the session, which its error says
	}
	d.running.Go(d.accept)
}

func (d *dialed) stop() {
	hangUp(d.mux, d.conn)
	if d.server != nil {
		d.server.Stop()
	}
	d.running.Wait()
}

// accept takes the streams that the other side opens.
func (d *dialed) accept() {
	for !d.mux.IsClosed() {
		stream, err := d.mux.AcceptStream()
		if err != nil {
			continue
		}
		if d.sorting.Add(1) > maxSorting {
			d.client.Config.log().Printf("session ended: %v", errTooManyStreams)
			hangUp(d.mux, d.conn)
		}
		d.running.Go(func() {
			defer d.sorting.Add(-1)
			d.route(stream)
		})
	}
}

// route finds out the purpose of a stream.
func (d *dialed) route(stream *yamux.Stream) {
	if err := d.dispatch(stream); err != nil {
		_ = stream.Close() // the other side learns no more than that
		d.client.Config.log().Printf("stream of the other side: %v", err)
	}
}

// dispatch gives a stream to its owner. After an error it has none.
func (d *dialed) dispatch(stream *yamux.Stream) error {
	if err := stream.SetReadDeadline(time.Now().Add(openingTimeout)); err != nil {
		return err
	}
	var head [magicSize]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return fmt.Errorf("read its first bytes: %w", err)
	}
	side := string(head[:]) == sidechannelMagic
	var id int64
	if side {
		if err := binary.Read(stream, binary.BigEndian, &id); err != nil {
			return fmt.Errorf("read the id of a sidechannel: %w", err)
		}
	}
	if err := stream.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	switch {
	case side && d.client.Sidechannels.take(id, stream):
		return nil
	case side:
		return fmt.Errorf("nobody waits for sidechannel %d", id)
	case d.listener == nil:
		return errors.New("calls are not answered here")
	}
	if d.calling.Add(1) > maxCalling {
		d.calling.Add(-1)
		return errTooManyStreams
	}
	counted := newEnding(&replayed{Conn: stream, head: head[:]}, func() {
		d.calling.Add(-1)
		_ = stream.Close() // always nil
	})
	if !d.listener.hand(counted) {
		_ = counted.Close() // always nil
		return net.ErrClosed
	}
	return nil
}
