package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// MaxMessage bounds a message between instances, in bytes: a batch of commands,
// or the ledger's part of an answer, is far below.
const MaxMessage = 32 << 20

// Window is how many bytes of a connection between instances may be on their way.
const Window = 1 << 20

// Clients are connections for calls to other instances, one to each address.
type Clients struct {
	transport *Transport

	mu     sync.Mutex
	byAddr map[string]*grpc.ClientConn // nil once closed
}

// NewClients returns clients that connect through the transport.
func NewClients(t *Transport) *Clients {
	return &Clients{transport: t, byAddr: make(map[string]*grpc.ClientConn)}
}

// To returns the connection to the instance at addr. It connects when it is
// used, and again after it was lost.
func (c *Clients) To(addr string) (grpc.ClientConnInterface, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byAddr == nil {
		return nil, errClosed
	}
	if cc := c.byAddr[addr]; cc != nil {
		return cc, nil
	}
	cc, err := grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(insecure.NewCredentials()), // the connection is secured below gRPC
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return c.transport.dial(ctx, addr, callKind, wanted{})
		}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: 500 * time.Millisecond},
			MinConnectTimeout: time.Second,
		}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		// Windows that adapt cost a ping and its answer for each message of an idle cluster.
		grpc.WithStaticStreamWindowSize(Window), grpc.WithStaticConnWindowSize(Window),
		grpc.WithIdleTimeout(0),
		grpc.WithNoProxy(), // the environment's is for other hosts
	)
	if err != nil {
		return nil, fmt.Errorf("connect to the peer at %s: %w", addr, err)
	}
	c.byAddr[addr] = cc
	return cc, nil
}

// Close closes all connections; calls under way end.
func (c *Clients) Close() error {
	c.mu.Lock()
	all := c.byAddr
	c.byAddr = nil
	c.mu.Unlock()
	var err error
	for _, cc := range all {
		err = errors.Join(err, cc.Close())
	}
	return err
}
