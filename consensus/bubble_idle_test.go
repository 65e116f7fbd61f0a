package consensus_test

import (
	"fmt"
	"slices"
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
	const seconds, limit = 60, 40
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

// calmly lets so much time pass that all is calm.
const calmly = 6 * time.Second

// TestBubble_leaderDiesInCalm lets one leader after the other die while nothing happens: the
// connections that end are the news, and the rare heartbeats of the calm are not waited for.
func TestBubble_leaderDiesInCalm(t *testing.T) {
	const times, middle, limit = 20, 300 * time.Millisecond, 800 * time.Millisecond
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		var all []time.Duration
		for n := range times {
			w.pass(calmly + time.Duration(n)*37*time.Millisecond)
			dead := w.leader()
			dead.crash()
			began := time.Now()
			if _, err := w.others(dead)[n%2].node.Propose(t.Context(), openIntent(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			all = append(all, time.Since(began))
			dead.start()
			w.whole()
		}
		slices.Sort(all)
		t.Logf("a command was taken after %v at best, %v in the middle, %v at worst", all[0], all[times/2], all[times-1])
		if all[times/2] > middle || all[times-1] > limit {
			t.Errorf("the others did without a leader for %v in the middle and %v at worst, want at most %v and %v", all[times/2], all[times-1], middle, limit)
		}
	})
}

// TestBubble_leaderCutOffInCalm cuts one leader after the other off, without a connection that ends:
// only their silence tells.
func TestBubble_leaderCutOffInCalm(t *testing.T) {
	const times, limit = 15, 1200 * time.Millisecond
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		var all []time.Duration
		for n := range times {
			w.pass(calmly + time.Duration(n)*37*time.Millisecond)
			away := w.leader()
			w.isolate(away)
			began := time.Now()
			w.leader(w.others(away)...)
			all = append(all, time.Since(began))
			w.heal()
			w.whole()
		}
		slices.Sort(all)
		t.Logf("another instance led after %v at best, %v in the middle, %v at worst", all[0], all[times/2], all[times-1])
		if all[times-1] > limit {
			t.Errorf("the others did without a leader for %v, want at most %v", all[times-1], limit)
		}
	})
}

// TestBubble_calmKeepsLeaderAndLeases: in ten minutes of calm no election is called, and no lease ends
// before the next is there. It ends with a command, and comes back.
func TestBubble_calmKeepsLeaderAndLeases(t *testing.T) {
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		term := w.leader().node.Term()
		for n := range 10 {
			for range 60 {
				w.pass(time.Second)
				for _, s := range w.seats {
					if !s.leased() {
						t.Fatalf("%s has no lease", s.name)
					}
				}
			}
			if _, err := w.leader().node.Propose(t.Context(), openIntent(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.leader().node.Term(); got != term {
			t.Errorf("term %d became %d", term, got)
		}
	})
}
