package channel

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
)

// NewServerCredentials returns credentials for a listener that takes clients
// with and without a backchannel, after the handshake of base, which is nil for
// one without TLS.
func NewServerCredentials(base credentials.TransportCredentials, cfg Config) credentials.TransportCredentials {
	return serverCredentials{orInsecure(base), cfg}
}

type serverCredentials struct {
	credentials.TransportCredentials
	cfg Config
}

// Clone implements credentials.TransportCredentials.
func (c serverCredentials) Clone() credentials.TransportCredentials {
	return serverCredentials{c.TransportCredentials.Clone(), c.cfg}
}

// ServerHandshake implements credentials.TransportCredentials.
func (c serverCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	var head [magicSize]byte
	if err := conn.SetReadDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return nil, nil, err
	}
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return nil, nil, err // as it is: gRPC passes over a client that said nothing
	}
	// For the next read of gRPC, too, which lifts the deadline after that.
	if err := conn.SetReadDeadline(time.Now().Add(greetingTimeout)); err != nil {
		return nil, nil, err
	}
	if string(head[:]) != backchannelMagic {
		return &replayed{Conn: conn, head: head[:]}, info, nil
	}
	mux, err := yamux.Server(inspect(&joining{Conn: conn}, maxClientFrame), c.cfg.serverMux())
	if err != nil {
		return nil, nil, fmt.Errorf("begin a multiplexed session: %w", err)
	}
	first, err := firstStream(mux)
	if err != nil {
		hangUp(mux, conn)
		return nil, nil, err
	}
	s := &Session{conn: conn, mux: mux}
	return newEnding(first, s.close), sessionInfo{info, s}, nil
}

// firstStream takes the stream for calls, and no other.
func firstStream(mux *yamux.Session) (*yamux.Stream, error) {
	ctx, cancel := context.WithTimeout(context.Background(), greetingTimeout)
	defer cancel()
	first, err := mux.AcceptStreamWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("take the first stream: %w", err)
	}
	return first, mux.GoAway()
}

// Session is a connection of a client that speaks the protocol.
type Session struct {
	conn  net.Conn
	mux   *yamux.Session
	opens sync.WaitGroup

	mu     sync.Mutex
	client *grpc.ClientConn // guarded by mu; made when it is first wanted
	closed bool             // guarded by mu
}

// FromContext returns the session on which a call came. There is none if the
// client does not speak the protocol.
func FromContext(ctx context.Context) (*Session, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil, false
	}
	info, ok := p.AuthInfo.(sessionInfo)
	return info.session, ok
}

// Done is closed when the connection has ended.
func (s *Session) Done() <-chan struct{} { return s.mux.CloseChan() }

// Client calls the client's side. It is the same for all callers, which do not
// close it, and fails every call when the connection has ended.
func (s *Session) Client() (*grpc.ClientConn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	if s.client != nil {
		return s.client, nil
	}
	var err error
	s.client, err = grpc.NewClient("passthrough:///backchannel",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return s.open(ctx) }),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
	)
	return s.client, err
}

// open opens a stream to the client's side.
func (s *Session) open(ctx context.Context) (*yamux.Stream, error) {
	type opened struct {
		stream *yamux.Stream
		err    error
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, fmt.Errorf("open a stream to the client: %w", net.ErrClosed)
	}
	result := make(chan opened)
	s.opens.Go(func() { // it may wait as long as the session lives, if the other side answers none
		stream, err := s.mux.OpenStream()
		select {
		case result <- opened{stream, err}:
		case <-ctx.Done():
			if err == nil {
				_ = stream.Close() // nobody wants it any more
			}
		}
	})
	s.mu.Unlock()
	select {
	case o := <-result:
		if o.err != nil {
			return nil, fmt.Errorf("open a stream to the client: %w", o.err)
		}
		return o.stream, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("open a stream to the client: %w", ctx.Err())
	}
}

func (s *Session) close() {
	hangUp(s.mux, s.conn)
	s.mu.Lock()
	client := s.client
	s.closed = true
	s.mu.Unlock()
	if client != nil {
		_ = client.Close() // it was open
	}
	s.opens.Wait()
}

// sessionInfo has the facts about a client that speaks the protocol.
type sessionInfo struct {
	credentials.AuthInfo
	session *Session
}

// GetCommonAuthInfo tells gRPC how secure the connection is.
func (i sessionInfo) GetCommonAuthInfo() credentials.CommonAuthInfo {
	if c, ok := i.AuthInfo.(interface {
		GetCommonAuthInfo() credentials.CommonAuthInfo
	}); ok {
		return c.GetCommonAuthInfo()
	}
	return credentials.CommonAuthInfo{}
}

// AuthInfo has the findings of the base credentials about the client of a call, such
// as credentials.TLSInfo. It is nil if that is nothing.
func AuthInfo(ctx context.Context) credentials.AuthInfo {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if info, ok := p.AuthInfo.(sessionInfo); ok {
		return info.AuthInfo
	}
	return p.AuthInfo
}
