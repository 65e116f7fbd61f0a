package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/peer"
	"praefect/fsm/state"
)

// Services are the answers of the daemon to peers, on the node's port.
type Services struct {
	// Lease serves the stream of one instance while this one leads, until ctx
	// ends. Nil refuses them.
	Lease func(ctx context.Context, from peer.Addr, stream lease.Server) error
	// LeaseLeft is the remaining time of this instance's lease, for people. Nil: none.
	LeaseLeft func() time.Duration
	// Problem is why this instance does not serve, for people; "" if nothing keeps it. Nil: nothing
	// does.
	Problem func() string
	// Register adds services of the daemon's own, which peers reach through
	// LeaderConn. Nil adds none.
	Register func(grpc.ServiceRegistrar)
}

// Provide sets the answers of the daemon to peers. It is called at most once,
// before Run.
func (n *Node) Provide(s Services) { n.services = s }

// describe adds the daemon's facts to the status of this instance.
func (n *Node) describe(own *member.InstanceStatus) {
	if n.services.LeaseLeft != nil {
		own.LeaseLeft = n.services.LeaseLeft()
	}
	if n.services.Problem != nil {
		own.Problem = n.services.Problem()
	}
}

// The calls between instances.
var (
	callPropose = peer.Method[proposal, proposalAnswer]("Propose")
	callLease   = peer.Method[lease.ToLeader, lease.FromLeader]("Lease")
)

// proposal is a batch on its way to the leader.
type proposal struct {
	// Batch is the entry of the log.
	Batch []byte `json:"batch"`
}

// outcome tells how a proposal ended at the leader.
type outcome string

const (
	outcomeApplied  outcome = "applied"
	outcomeNotInLog outcome = "not-in-log" // and it will not be, by this call
	outcomeUnknown  outcome = "unknown"
	outcomeRejected outcome = "rejected" // it cannot be proposed at all
)

type proposalAnswer struct {
	Outcome outcome        `json:"outcome"`
	Why     string         `json:"why,omitempty"`
	Results []state.Result `json:"results,omitempty"`
}

// serve answers peers until stopServing; the goroutines that it starts are in tasks.
func (n *Node) serve(ctx context.Context, tasks *sync.WaitGroup) {
	if n.library.Transport == nil {
		return
	}
	server := grpc.NewServer(grpc.WaitForHandlers(true), grpc.StaticStreamWindowSize(peer.Window), grpc.StaticConnWindowSize(peer.Window),
		grpc.MaxRecvMsgSize(peer.MaxMessage), grpc.MaxSendMsgSize(peer.MaxMessage))
	server.RegisterService(n.service(), nil)
	if n.services.Register != nil {
		n.services.Register(server)
	}
	n.server = server
	tasks.Go(func() { n.library.Transport.Run(ctx) })
	tasks.Go(func() {
		if err := server.Serve(n.library.Transport.Calls()); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			n.config.Logger.Error("answer peers", "err", err)
		}
	})
}

// stopServing ends the calls of peers that are under way.
func (n *Node) stopServing() {
	if n.server != nil {
		n.server.Stop()
	}
}

func (n *Node) service() *grpc.ServiceDesc {
	return peer.Service(append(membership.Methods(n.Group),
		callPropose.Answer(n.takeProposal),
	), []grpc.StreamDesc{
		callLease.Serve(func(ctx context.Context, from peer.Addr, s *peer.Stream[lease.ToLeader, lease.FromLeader]) error {
			if n.services.Lease == nil {
				return status.Error(codes.Unimplemented, "no leases here")
			}
			return n.services.Lease(ctx, from, s)
		}),
	})
}

// ErrLeads: there is no other leader to connect to.
var ErrLeads = errors.New("this instance leads itself")

// LeaderConn returns a connection to the port of the leader, for the services that
// Services.Register adds there, with the leader. The error is an ErrLeads if this instance leads
// itself, and an ErrNoLeader if no instance is known to.
func (n *Node) LeaderConn() (grpc.ClientConnInterface, member.Member, error) {
	m, err := n.Leader()
	if err != nil {
		return nil, m, err
	}
	if m.ID == n.disk.ID || n.library.Clients == nil {
		return nil, m, ErrLeads
	}
	cc, err := n.library.Clients.To(m.Address)
	return cc, m, err
}

// DialLeader opens a stream to the leader, which is to be closed. It ends with
// ctx, too. Errors are as LeaderConn's, or gRPC's.
func (n *Node) DialLeader(ctx context.Context) (lease.Client, error) {
	cc, m, err := n.LeaderConn()
	if err != nil {
		return nil, err
	}
	s, err := callLease.Open(ctx, cc)
	if err != nil {
		return nil, fmt.Errorf("open a stream to the leader %s: %w", m, err)
	}
	return s, nil
}
