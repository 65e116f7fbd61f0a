package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"praefect/proxy/channel"
	"praefect/proxy/secure"
	"praefect/proxy/stream"
)

// Peer is another instance.
type Peer struct {
	Name string
	// Address is where its clients reach it: tcp://host:port, tls://host:port
	// or unix:path.
	Address string
}

const (
	// peerTimeout bounds the search for a peer with a lease: a read waits for it.
	peerTimeout = 300 * time.Millisecond
	// peerTrust is how long the result of a search is used.
	peerTrust = 500 * time.Millisecond
)

// peers finds an instance that has a lease, for the reads of one that has none.
type peers struct {
	list     func() []Peer
	log      *slog.Logger
	channels channel.Config

	mu     sync.Mutex
	conns  map[string]*peerConn // by address; guarded by mu
	best   *peerConn            // the one found last; nil if none was; guarded by mu
	until  time.Time            // best is used until then; guarded by mu
	search chan struct{}        // closed when the search under way ends; nil if none is; guarded by mu
	closed bool                 // guarded by mu
}

// peerConn is a connection to a peer. It is made at the first RPC, and remade by
// gRPC.
type peerConn struct {
	*grpc.ClientConn
	name string
	// beside is another connection, for calls with sidechannels, which a peer of
	// an older version does not open; sidechannels are the ones that it opens.
	beside       *grpc.ClientConn
	sidechannels channel.Registry
}

// forCall is the connection for a call.
func (c *peerConn) forCall(r *request) *grpc.ClientConn {
	if r.asked {
		return c.beside
	}
	return c.ClientConn
}

func (c *peerConn) close() error {
	return errors.Join(c.ClientConn.Close(), c.beside.Close())
}

func newPeers(list func() []Peer, log *slog.Logger, channels channel.Config) *peers {
	return &peers{list: list, log: log, channels: channels, conns: make(map[string]*peerConn)}
}

// leased returns a connection to a peer that had a lease a moment ago, nil if
// none answers that it has.
func (p *peers) leased(ctx context.Context) *peerConn {
	for {
		p.mu.Lock()
		if time.Now().Before(p.until) || p.closed {
			defer p.mu.Unlock()
			return p.best
		}
		search := p.search
		if search == nil {
			search = make(chan struct{})
			p.search = search
			p.mu.Unlock()
			p.look()
			close(search)
			continue
		}
		p.mu.Unlock()
		select {
		case <-search:
		case <-ctx.Done():
			return nil
		}
	}
}

// look asks all peers at once, and remembers the first that has a lease.
func (p *peers) look() {
	ctx, cancel := context.WithTimeout(context.Background(), peerTimeout)
	defer cancel()
	conns := p.connections()
	found := make(chan *peerConn, len(conns)) // one answer each
	for _, c := range conns {
		go func() {
			answer, err := healthpb.NewHealthClient(c).Check(ctx, &healthpb.HealthCheckRequest{Service: leaseService})
			if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
				c = nil
			}
			found <- c
		}()
	}
	var best *peerConn
	for range conns {
		if c := <-found; c != nil && best == nil {
			best = c
			cancel() // the others are not waited for any longer than that
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.best, p.until, p.search = best, time.Now().Add(peerTrust), nil
}

// connections returns the connections to the peers of now, and closes the ones to former peers.
func (p *peers) connections() []*peerConn {
	now := make(map[string]string)
	for _, peer := range p.list() {
		now[peer.Address] = peer.Name
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for address, c := range p.conns {
		if _, still := now[address]; !still {
			delete(p.conns, address)
			_ = c.close() // it was not closed before
		}
	}
	var conns []*peerConn
	for address, name := range now {
		c := p.conns[address]
		if c == nil {
			var err error
			if c, err = p.dial(name, address); err != nil {
				p.log.Debug("a peer has no address that can be dialled", "peer", name, "err", err)
				continue
			}
			p.conns[address] = c
		}
		conns = append(conns, c)
	}
	return conns
}

// forget has the next read look for another peer.
func (p *peers) forget(c *peerConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.best == c {
		p.best, p.until = nil, time.Time{}
	}
}

func (p *peers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.best = true, nil
	for address, c := range p.conns {
		if err := c.close(); err != nil {
			p.log.Warn("closing the connection to a peer", "peer", c.name, "err", err)
		}
		delete(p.conns, address)
	}
}

// dial prepares both connections to a peer; it fails only if the address is none.
func (p *peers) dial(name, address string) (*peerConn, error) {
	c := &peerConn{name: name}
	var err error
	if c.ClientConn, err = dialPeer(address, nil); err != nil {
		return nil, err
	}
	if c.beside, err = dialPeer(address, &channel.Client{Config: p.channels, Sidechannels: &c.sidechannels}); err != nil {
		return nil, errors.Join(err, c.ClientConn.Close())
	}
	return c, nil
}

// dialPeer prepares a connection, with a backchannel unless that is nil.
func dialPeer(address string, backchannel *channel.Client) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	target := address
	switch scheme, rest, _ := strings.Cut(address, "://"); scheme {
	case "tls":
		creds, target = secure.New(&tls.Config{MinVersion: tls.VersionTLS12}), "dns:///"+rest
	case "tcp":
		target = "dns:///" + rest
	}
	if backchannel != nil {
		creds = channel.NewClientCredentials(creds, *backchannel)
	}
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(creds),
		grpc.WithStatsHandler(stream.StatsHandler{}),
		grpc.WithNoProxy(), // the environment's is for other hosts
		// A peer that does not answer is asked again soon: reads have no other.
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: peerTrust, Multiplier: 1, MaxDelay: peerTrust},
			MinConnectTimeout: peerTimeout,
		}))
}
