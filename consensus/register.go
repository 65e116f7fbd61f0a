package consensus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"

	"praefect/fsm/state"
)

// register waits until this instance leads and its view has all that was ever
// committed, announces its new incarnation, and retires the former ones: that
// the data directory could be locked proves their processes gone. From then on
// commands are taken.
func (n *Node) register(ctx context.Context) error {
	if err := n.lead(ctx); err != nil {
		return err
	}
	results, err := n.proposer.commit(ctx, []state.Command{{Register: n.registration()}})
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if refusal := results[0].Refusal; refusal != nil {
		return fmt.Errorf("register: %w", refusal)
	}
	own := results[0].Incarnation
	n.proposer.incarnation, n.proposer.number = own, 0
	n.incarnation.Store(uint64(own))
	if err := n.retireFormer(ctx); err != nil {
		return fmt.Errorf("retire former incarnations: %w", err)
	}
	n.config.Logger.InfoContext(ctx, "registered", "id", n.ID(), "incarnation", uint64(own),
		"cluster_id", n.View().ClusterID, "term", n.raft.CurrentTerm(), "index", uint64(results[0].Index))
	n.proposer.queue.open()
	return nil
}

// lead returns once a barrier has passed: an entry of this term is applied, and
// so is every one before it.
func (n *Node) lead(ctx context.Context) error {
	for wait := firstRetry; ; wait = min(2*wait, lastRetry) {
		_, err := await(ctx, n.proposer, func() raft.Future { return n.raft.Barrier(enqueueTimeout) })
		if err == nil {
			return nil
		}
		if !n.proposer.pause(ctx, wait) {
			return fmt.Errorf("wait for leadership: %w", err)
		}
	}
}

func (n *Node) registration() *state.Register {
	r := &state.Register{
		ID: n.ID(), Name: n.config.Name, Address: n.config.Address, Version: n.config.Version,
		ClusterID: n.View().ClusterID,
	}
	if r.ClusterID == "" {
		r.ClusterID = rand.Text()
	}
	return r
}

func (n *Node) retireFormer(ctx context.Context) error {
	var retire []state.Command
	for _, in := range n.View().Instances {
		if in.ID == n.ID() && in.Incarnation != n.Incarnation() {
			retire = append(retire, state.Command{
				Retire: &state.Retire{Incarnation: in.Incarnation, Successor: n.Incarnation()},
			})
		}
	}
	if len(retire) == 0 {
		return nil
	}
	results, err := n.proposer.commit(ctx, retire)
	for _, r := range results {
		if r.Refusal != nil {
			err = errors.Join(err, r.Refusal)
		}
	}
	return err
}
