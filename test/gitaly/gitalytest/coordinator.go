package gitalytest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"testing"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/proxy/channel"
	"praefect/test/must"
)

// State is the answer to a vote.
type State = gitalypb.VoteTransactionResponse_TransactionState

// The answers to a vote.
const (
	Commit = gitalypb.VoteTransactionResponse_COMMIT
	Abort  = gitalypb.VoteTransactionResponse_ABORT
	Stop   = gitalypb.VoteTransactionResponse_STOP
)

// Vote is one vote as it came.
type Vote struct {
	ID    uint64
	Node  string
	Phase gitalypb.VoteTransactionRequest_Phase
	Hash  string
	// Round counts the votes of this node in this transaction, from 0.
	Round int
}

// Decision answers a vote.
type Decision func(ctx context.Context, v Vote) (State, error)

// Coordinator takes votes, as a proxy does, and notes them.
type Coordinator struct {
	gitalypb.UnimplementedRefTransactionServer
	// Decide answers a vote; nil commits all. It may wait.
	Decide Decision

	mu      sync.Mutex
	votes   []Vote          // guarded by mu
	stopped map[uint64]bool // guarded by mu
}

// VoteTransaction notes the vote and answers it.
func (c *Coordinator) VoteTransaction(ctx context.Context, req *gitalypb.VoteTransactionRequest) (*gitalypb.VoteTransactionResponse, error) {
	v := Vote{
		ID: req.GetTransactionId(), Node: req.GetNode(), Phase: req.GetPhase(),
		Hash: string(req.GetReferenceUpdatesHash()),
	}
	if len(v.Hash) != 20 {
		return nil, status.Error(codes.InvalidArgument, "invalid reference update hash")
	}
	c.mu.Lock()
	for _, earlier := range c.votes {
		if earlier.ID == v.ID && earlier.Node == v.Node {
			v.Round++
		}
	}
	c.votes = append(c.votes, v)
	stopped := c.stopped[v.ID]
	c.mu.Unlock()
	if stopped {
		return &gitalypb.VoteTransactionResponse{State: Stop}, nil
	}
	if c.Decide == nil {
		return &gitalypb.VoteTransactionResponse{State: Commit}, nil
	}
	state, err := c.Decide(ctx, v)
	if err != nil {
		return nil, err
	}
	return &gitalypb.VoteTransactionResponse{State: state}, nil
}

// StopTransaction notes that the transaction is called off.
func (c *Coordinator) StopTransaction(_ context.Context, req *gitalypb.StopTransactionRequest) (*gitalypb.StopTransactionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped == nil {
		c.stopped = make(map[uint64]bool)
	}
	c.stopped[req.GetTransactionId()] = true
	return &gitalypb.StopTransactionResponse{}, nil
}

// Stopped reports whether a transaction was called off.
func (c *Coordinator) Stopped(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped[id]
}

// Votes returns the votes of a node in a transaction, in order.
func (c *Coordinator) Votes(id uint64, node string) []Vote {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []Vote
	for _, v := range c.votes {
		if v.ID == id && v.Node == node {
			found = append(found, v)
		}
	}
	return found
}

// DialVoting is Dial for a connection on which the server votes. Closing the client that
// it returns is the loss of that connection.
func DialVoting(t testing.TB, address, token string, coordinator *Coordinator) *grpc.ClientConn {
	t.Helper()
	return DialChannel(t, address, token, channel.Client{Server: func() *grpc.Server {
		server := grpc.NewServer()
		gitalypb.RegisterRefTransactionServer(server, coordinator)
		return server
	}})
}

// DialChannel is Dial for a multiplexed connection, which offers the server
// the configuration of client.
func DialChannel(t testing.TB, address, token string, client channel.Client) *grpc.ClientConn {
	t.Helper()
	creds := channel.NewClientCredentials(nil, client)
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(), grpc.WithNoProxy(),
		grpc.WithContextDialer(func(ctx context.Context, where string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", where)
		}),
	}
	if token != "" {
		options = append(options, grpc.WithPerRPCCredentials(gitalyauth.RPCCredentialsV2(token)))
	}
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(address, "tcp://"), options...)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && status.Code(err) != codes.Canceled {
			t.Errorf("close connection: %v", err)
		}
	})
	return conn
}

// InTransaction returns ctx with the header that makes a call part of a
// transaction.
func InTransaction(t testing.TB, ctx context.Context, id uint64, node string, primary bool) context.Context {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"id": id, "node": node, "primary": primary})
	must.Succeed(t, err)
	return metadata.AppendToOutgoingContext(ctx, "gitaly-reference-transaction", base64.StdEncoding.EncodeToString(raw))
}
