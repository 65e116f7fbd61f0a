package consensus

import (
	"testing"
	"time"

	"praefect/consensus/store"
)

// An instance that restarts while the others are away is asked all the same: it has the
// state on its disk.
func TestCluster_restartedWithoutAQuorumIsReadable(t *testing.T) {
	c := newCluster(t, 3).startAll()
	survivor := c.others(c.leader())[0]
	c.byLeader(nil, func(leader *seat) error {
		_, err := leader.Propose(t.Context(), define(), openIntent("a"))
		return err
	})
	eventually(t, "all know", func() bool { return survivor.entry("a") != nil })
	known := survivor.View().Index
	eventually(t, "it is noted that this is committed", func() bool {
		o, err := survivor.disk.Read(func(store.Committed) uint64 { return 0 })
		return err == nil && o.Committed.Index >= uint64(known)
	})
	for _, s := range c.seats {
		c.crash(s)
	}
	c.start(survivor)
	select {
	case <-survivor.Readable():
	case <-time.After(patience):
		t.Fatal("it is not readable")
	}
	if got := survivor.View(); got.Index < known || survivor.entry("a") == nil || got.ClusterID == "" {
		t.Errorf("the view is at %d, want %d at least, with the entry: %v", got.Index, known, survivor.entry("a"))
	}
	select {
	case <-survivor.Ready():
		t.Error("it takes commands without a quorum")
	default:
	}
	for _, s := range c.others(survivor) {
		c.start(s)
	}
	for _, s := range c.seats {
		s.ready(t)
	}
	survivor.must(t, openIntent("b"))
	c.agree()
}
