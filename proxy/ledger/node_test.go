package ledger

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"praefect/fsm/state"
	"praefect/proxy/router"
)

// node applies commands to a real state at once, as a cluster of one does. The
// callback decides whether a proposal is applied and what its proposer hears.
type node struct {
	mu       sync.Mutex
	state    *state.State
	inc      state.Incarnation
	number   uint64
	batches  [][]state.Command
	callback func(cmds []state.Command) (apply bool, err error)
	changed  chan struct{}
}

func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{state: &state.State{}, changed: make(chan struct{})}
	results := n.apply(t.Context(), state.Command{Register: &state.Register{ID: "a", Name: "praefect-1", ClusterID: "c"}})
	n.inc = results[0].Incarnation
	n.apply(t.Context(), state.Command{Define: &state.Define{VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2", "gitaly-3"}}})
	for _, s := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
		n.apply(t.Context(), state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: s, FilesystemID: "disk-" + s}})
		if since := n.state.VirtualStorage("default").Storage(s); since.State == state.Backfilling {
			n.apply(t.Context(), state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: s, Since: since.Since}})
			n.apply(t.Context(), state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: s, FilesystemID: "disk-" + s, Backfilled: since.Since}})
		}
	}
	n.batches = nil
	return n
}

func (n *node) apply(_ context.Context, cmds ...state.Command) []state.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.number++
	index := n.state.Index + 1
	next, results := n.state.Apply(index, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint("r", n.number), Incarnation: n.inc, Number: n.number, Commands: cmds,
	})
	if err := next.Check(); err != nil {
		panic(fmt.Sprintf("state after %v: %v", cmds, err))
	}
	n.state = next
	n.batches = append(n.batches, cmds)
	close(n.changed)
	n.changed = make(chan struct{})
	return results
}

func (n *node) Changed() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *node) Incarnation() state.Incarnation { return n.inc }

// reach is the way to storages that are all reached.
type reach struct{}

func (reach) Changed() <-chan struct{} { return nil }

func (reach) Connections() []Connection {
	var all []Connection
	for _, s := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
		all = append(all, Connection{VirtualStorage: "default", Storage: s, Generation: 1, Reachability: router.Reachability{OK: true, FilesystemID: "disk-" + s}})
	}
	return all
}

func (n *node) View() *state.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state
}

func (n *node) Propose(ctx context.Context, cmds ...state.Command) ([]state.Result, error) {
	n.mu.Lock()
	callback := n.callback
	n.mu.Unlock()
	apply, err := true, error(nil)
	if callback != nil {
		apply, err = callback(cmds)
	}
	var results []state.Result
	if apply {
		results = n.apply(ctx, cmds...)
	}
	if err != nil {
		return nil, err
	}
	return results, nil
}

// proposed is how many commands of all kinds were applied.
func (n *node) proposed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	total := 0
	for _, b := range n.batches {
		total += len(b)
	}
	return total
}

func (n *node) setCallback(f func(cmds []state.Command) (bool, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.callback = f
}

// fence and unfence are what a leader does.
func (n *node) fence(storage string) {
	n.apply(context.Background(), state.Command{Fence: &state.Fence{
		VirtualStorage: "default", Storages: []string{storage}, Why: state.WhyDead, Epoch: n.View().VirtualStorage("default").Epoch,
	}})
}

func (n *node) unfence(storage string) {
	n.apply(context.Background(), state.Command{Admit: &state.Admit{
		VirtualStorage: "default", Epoch: n.View().VirtualStorage("default").Epoch,
		Storages: []state.Admission{{Storage: storage, As: state.Serving, FilesystemID: "disk-" + storage}},
	}})
}
