package consensus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"praefect/consensus/store"
	"praefect/fsm/state"
)

// register announces the new incarnation and retires the former ones: that the
// data directory could be locked proves their processes gone. From then on
// commands are taken, and the view has all that was committed before.
func (n *Node) register(ctx context.Context) error {
	result, err := n.announce(ctx)
	if err != nil {
		return fmt.Errorf("register: %w", err)
	}
	if err := n.noteCluster(n.View().ClusterID); err != nil {
		return err
	}
	own := result.Incarnation
	n.proposer.incarnation, n.proposer.number = own, 0
	n.incarnation.Store(uint64(own))
	if err := n.retireFormer(ctx); err != nil {
		return fmt.Errorf("retire former incarnations: %w", err)
	}
	n.config.Logger.InfoContext(ctx, "registered", "id", n.ID(), "incarnation", uint64(own),
		"cluster_id", n.View().ClusterID, "term", n.Term(), "index", uint64(result.Index))
	n.proposer.queue.open()
	return nil
}

// announce proposes the registration. The first instance of a cluster brings the
// id of it. As the view may be behind before the first answer, each answer may
// tell that there is none yet, or another one.
func (n *Node) announce(ctx context.Context) (state.Result, error) {
	if members := n.Members(); len(members) == 1 && members[0].ID == n.disk.ID {
		if err := n.awaitLeading(ctx); err != nil {
			return state.Result{}, err
		}
	}
	cluster := cmp.Or(n.View().ClusterID, n.disk.Known().ClusterID)
	if cluster == "" {
		if _, leading := n.Leading(); leading {
			cluster = rand.Text() // View has all that was ever committed
		}
	}
	for {
		results, err := n.proposer.commit(ctx, []state.Command{{Register: n.registration(cluster)}})
		if err != nil {
			return state.Result{}, err
		}
		refusal := results[0].Refusal
		if refusal == nil {
			return results[0], nil
		}
		if refusal.Reason == state.RefusedLevel {
			return state.Result{}, fmt.Errorf("%w: %w", ErrTooOld, refusal)
		}
		next := cmp.Or(n.View().ClusterID, rand.Text())
		if refusal.Reason != state.RefusedCluster || cluster == n.View().ClusterID && cluster != "" {
			return state.Result{}, refusal
		}
		cluster = next
	}
}

// awaitLeading returns once this instance leads and View is complete.
func (n *Node) awaitLeading(ctx context.Context) error {
	for {
		changed := n.LeadershipChanged()
		if _, leading := n.Leading(); leading {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for leadership: %w", context.Cause(ctx))
		}
	}
}

func (n *Node) registration(cluster string) *state.Register {
	r := &state.Register{
		ID: n.ID(), Name: n.config.Name, Address: n.config.Address, Version: n.config.Version, ClusterID: cluster,
		Level: state.Level,
	}
	if n.library.Transport != nil {
		r.RaftAddress = n.library.Transport.AdvertiseAddr()
	}
	return r
}

// noteCluster keeps the cluster's id in the data directory: it is known there
// before the log is, and keeps this instance from the instances of another cluster. An instance
// that can register is a member, because only members are sent the log.
func (n *Node) noteCluster(id string) error {
	if known := n.disk.Known().ClusterID; known != "" && known != id {
		return fmt.Errorf("raft.data_dir %q is of cluster %s, and this is cluster %s", n.config.DataDir, known, id)
	}
	return n.disk.Note(func(i *store.Identity) { i.ClusterID, i.Member = id, true })
}

// retireFormer retires the former lives of this instance.
func (n *Node) retireFormer(ctx context.Context) error {
	var former []state.Incarnation
	for _, in := range n.View().Instances {
		if in.ID == n.ID() && in.Incarnation != n.Incarnation() {
			former = append(former, in.Incarnation)
		}
	}
	return n.retire(ctx, former)
}

// retire proposes to retire incarnations of this instance. The leader may have
// retired one meanwhile, by other proof: then nothing is left to do.
func (n *Node) retire(ctx context.Context, former []state.Incarnation) error {
	var commands []state.Command
	for _, inc := range former {
		commands = append(commands, state.Command{Retire: &state.Retire{Incarnation: inc, Successor: n.Incarnation()}})
	}
	if len(commands) == 0 {
		return nil
	}
	results, err := n.proposer.commit(ctx, commands)
	for _, r := range results {
		if r.Refusal != nil && r.Refusal.Reason != state.RefusedUnknown {
			err = errors.Join(err, r.Refusal)
		}
	}
	return err
}
