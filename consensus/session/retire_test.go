package session_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/session"
	"praefect/fsm/state"
)

// live tells whether the node's incarnation is registered.
func (w *testCluster) live(n *node) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Instance(n.inc) != nil
}

func TestSession_Retire(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		leader, gone := w.nodes[0], w.nodes[2]
		for _, tc := range []struct {
			name string
			want error
		}{
			{"praefect-9", elector.ErrNoInstance},
			{"praefect-0", elector.ErrAlive}, // it leads
			{"praefect-2", elector.ErrAlive},
		} {
			if _, err := leader.session.Retire(t.Context(), tc.name, ""); !errors.Is(err, tc.want) {
				t.Errorf("retire %s: got %v, want %v", tc.name, err, tc.want)
			}
		}
		if _, err := w.nodes[1].session.Retire(t.Context(), "praefect-2", ""); !errors.Is(err, session.ErrNotLeading) {
			t.Errorf("at a follower: got %v", err)
		}
		w.change(func() { gone.cut = true })
		w.pass(1500 * time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n, err := leader.session.Retire(ctx, "praefect-2", "operator: raft retire praefect-2 (alice): burnt down")
		if err != nil || n != 1 || w.live(gone) {
			t.Fatalf("retired %d, %v; live: %v", n, err, w.live(gone))
		}
		w.mu.Lock()
		last := w.view.InstanceHistory[len(w.view.InstanceHistory)-1]
		w.mu.Unlock()
		if last.What != state.ChangeRetired || last.By != "operator: raft retire praefect-2 (alice): burnt down" || last.Why != string(state.ProofOperator) {
			t.Errorf("the history says %+v", last)
		}
		w.change(func() { gone.cut = false })
		w.pass(3 * time.Second)
		if gone.leased() {
			t.Error("a retired instance has a lease")
		}
	})
}

// raft remove retires what it removes, after the lease: else its open intents stay, and no
// repair of their repositories ends.
func TestSession_retiresWhoWasRemoved(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		removed := w.nodes[2]
		if !removed.leased() {
			t.Fatal("it has no lease")
		}
		w.change(func() { removed.removed = true })
		for w.live(removed) {
			if !removed.leased() {
				w.pass(time.Millisecond)
				continue
			}
			w.pass(time.Millisecond)
			if !w.live(removed) && removed.leased() {
				t.Fatal("it was retired while it had a lease")
			}
		}
		for _, n := range w.nodes[:2] {
			w.within(time.Second, "the watermark to go on at "+n.id, func() bool { return n.leased() })
		}
	})
}

// The silence of an instance counts on under the next leader.
func TestSession_silenceCountsAcrossLeaders(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		gone := w.nodes[2]
		w.change(func() { gone.cut = true })
		for i := range 4 { // ten minutes in all, and no leader leads for so long
			w.pass(145 * time.Second)
			if !w.live(gone) {
				t.Fatalf("it was retired before ten minutes, in term %d", i)
			}
			w.elect(w.nodes[(i+1)%2])
		}
		w.within(30*time.Second, "its retirement", func() bool { return !w.live(gone) })
	})
}

// A look at a host that does not answer must not keep an instance from the next leader.
func TestSession_probeOfAnUnreachablePeerHoldsUpNobody(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() {
			w.nodes[2].cut = true
			for _, n := range w.nodes {
				n.probes = func(ctx context.Context) { <-ctx.Done() } // a way that leads nowhere
			}
		})
		w.pass(3 * time.Second)
		w.elect(w.nodes[1])
		for range 100 {
			w.pass(10 * time.Millisecond)
			for _, n := range w.nodes[:2] {
				if !n.leased() {
					t.Fatalf("%s has no lease after the election", n.id)
				}
			}
		}
	})
}
