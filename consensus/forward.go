package consensus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/fsm/state"
)

var (
	errNotTaken = errors.New("the leader has not taken it")
	// errRejected: it is no use to propose that again.
	errRejected = errors.New("the leader cannot take it")
)

// forwardTimeout bounds one attempt to propose by way of the leader. A leader
// that is gone is noticed before: another one is elected.
const forwardTimeout = 5 * time.Second

// local implements appender.
func (n *Node) local() applier {
	if r := n.library.Raft(); r != nil && r.State() == raft.Leader {
		return r
	}
	return nil
}

// forward implements appender.
func (n *Node) forward(ctx context.Context, entry []byte, gone <-chan struct{}) ([]state.Result, error) {
	leader, err := n.Leader()
	if err != nil {
		return nil, err
	}
	if leader.ID == n.disk.ID || n.library.Clients == nil {
		return nil, fmt.Errorf("%w: leadership comes or goes", library.ErrNoLeader)
	}
	n.metrics.forwarded.Inc()
	answer, err := n.askLeader(ctx, leader, proposal{Batch: entry}, gone)
	if err != nil {
		return nil, err
	}
	switch answer.Outcome {
	case outcomeApplied:
		if len(answer.Results) == 0 {
			return nil, errors.New("the leader has answered without results")
		}
		// The caller may look at the view next.
		return answer.Results, n.Wait(ctx, answer.Results[0].Index)
	case outcomeNotInLog:
		return nil, fmt.Errorf("%w: %s", errNotTaken, answer.Why)
	case outcomeRejected:
		return nil, fmt.Errorf("%w: %s", errRejected, answer.Why)
	}
	return nil, fmt.Errorf("the leader does not know: %s", answer.Why)
}

func (n *Node) askLeader(ctx context.Context, leader member.Member, p proposal, gone <-chan struct{}) (proposalAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, forwardTimeout)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() { cancel(); <-watched }()
	return callPropose.CallTo(ctx, n.library.Clients, leader.Address, p)
}

// takeProposal puts a peer's batch into the log, if this instance leads: one hop
// and no further.
func (n *Node) takeProposal(ctx context.Context, _ peer.Addr, p proposal) (proposalAnswer, error) {
	batch, err := state.DecodeBatch(p.Batch)
	if err == nil {
		err = batch.Validate()
	}
	if err == nil && batch.Term != 0 {
		err = errors.New("what depends on a term is proposed by its leader")
	}
	if err != nil {
		return proposalAnswer{Outcome: outcomeRejected, Why: err.Error()}, nil
	}
	here := n.local()
	if here == nil {
		return proposalAnswer{Outcome: outcomeNotInLog, Why: library.ErrNotLeader.Error()}, nil
	}
	results, err := n.proposer.apply(ctx, here, p.Batch)
	switch {
	case err == nil:
		return proposalAnswer{Outcome: outcomeApplied, Results: results}, nil
	case isNotInLog(err):
		return proposalAnswer{Outcome: outcomeNotInLog, Why: err.Error()}, nil
	}
	return proposalAnswer{Outcome: outcomeUnknown, Why: err.Error()}, nil
}

// ProposeAs hands the commands to the log as the leader of that term. They are
// refused (RefusedTerm) if they get into the log of another term, and never go
// by way of another instance: a command that a leader has decided on by its own table of leases
// must not be applied once another leader may have granted others. An error is ErrNotProposed or
// ErrUnknown; unlike Propose it does not try again, because the state has to be looked at first.
// Commands about the ledger are refused here, because they have their order among the commands of
// Propose.
func (n *Node) ProposeAs(ctx context.Context, term uint64, commands ...state.Command) ([]state.Result, error) {
	if err := n.proposer.check(commands); err != nil {
		return nil, err
	}
	if own, ok := n.Leading(); !ok || own.Term != term || term == 0 {
		return nil, fmt.Errorf("%w: %w in term %d", ErrNotProposed, library.ErrNotLeader, term)
	}
	return n.proposer.commitAs(ctx, n.library.Raft(), term, n.Incarnation(), commands)
}
