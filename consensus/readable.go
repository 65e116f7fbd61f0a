package consensus

import (
	"context"
	"time"

	"praefect/consensus/store"
)

// primeAfter is how long a started instance waits for a quorum before it takes the state
// from its own disk. An election takes less.
const primeAfter = 3 * time.Second

// Readable returns a channel that is closed once View can be read by: this instance is
// registered, or it has found no quorum for a while and has read the state from its
// disk. The second may lack the last committed entries, and nothing is ever written by it.
func (n *Node) Readable() <-chan struct{} { return n.readable }

// makeReadable closes Readable.
func (n *Node) makeReadable() { n.readableOnce.Do(func() { close(n.readable) }) }

// prime makes an instance that finds no quorum readable: the library applies nothing of the log
// before a leader says how far it is committed.
func (n *Node) prime(ctx context.Context) {
	late := time.NewTimer(primeAfter)
	defer late.Stop()
	select {
	case <-late.C:
	case <-n.ready:
		return
	case <-ctx.Done():
		return
	}
	o, err := n.disk.Read(func(c store.Committed) uint64 { return c.Index })
	switch {
	case err != nil:
		n.config.Logger.WarnContext(ctx, "there is no quorum, and the state on the disk cannot be read", "err", err)
		return
	case o.State.ClusterID == "":
		return // it has never been a member
	}
	n.fsm.Prime(o.State)
	n.makeReadable()
	n.config.Logger.WarnContext(ctx, "there is no quorum: this instance answers questions, and reads as consistency.reads_without_lease says, "+
		"by the state on its disk; if the others are lost for good, see praefect raft recover",
		"index", o.Last, "entries_not_known_to_be_committed", o.End-o.Last)
}
