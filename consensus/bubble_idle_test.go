package consensus_test

import (
	"fmt"
	"testing"
	"time"
)

// TestBubble_followersLearnOfACommitAtOnce takes commands while nothing else happens. A
// follower then learns of each commit without waiting for a timer of the library.
func TestBubble_followersLearnOfACommitAtOnce(t *testing.T) {
	const commands, limit = 50, 10 * time.Millisecond
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		var slowest time.Duration
		for n := range commands {
			w.pass(time.Second)
			leader := w.leader()
			if _, err := leader.node.Propose(t.Context(), openIntent(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			index := leader.node.View().Index
			slowest = max(slowest, w.eventually("all instances have the command", func() bool {
				for _, s := range w.seats {
					if s.node.View().Index < index {
						return false
					}
				}
				return true
			}))
		}
		t.Logf("the slowest follower learned of a commit %v after the leader", slowest)
		if slowest > limit {
			t.Errorf("a follower learned of a commit %v after the leader, want at most %v", slowest, limit)
		}
	})
}

// TestBubble_idleCosts counts what the instances send while no client does anything.
func TestBubble_idleCosts(t *testing.T) {
	const seconds, limit = 60, 155
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		w.pass(10 * time.Second)
		before := w.net.written()
		w.pass(seconds * time.Second)
		each := float64(w.net.written()-before) / seconds
		t.Logf("three idle instances write %.0f times a second", each)
		if each > limit {
			t.Errorf("three idle instances write %.0f times a second, want at most %d", each, limit)
		}
	})
}
