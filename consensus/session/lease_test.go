package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"praefect/consensus/lease"
	"praefect/fsm/state"
)

// settle waits until nothing of former leaders is left.
func (w *testCluster) settle() {
	w.t.Helper()
	for _, n := range w.nodes {
		w.await("a lease for "+n.id, n.leased)
	}
	w.pass(2 * time.Second)
}

// touch puts an entry into the log.
func (w *testCluster) touch() state.Index {
	w.apply(w.nodes[0].inc, state.Command{Pause: &state.Pause{VirtualStorage: vsName, Why: "a test"}}, state.Command{Resume: &state.Resume{VirtualStorage: vsName}})
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view.Index
}

func TestSession_everybodyKeepsALease(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		for _, n := range w.nodes {
			w.within(100*time.Millisecond, "a lease for "+n.id, n.leased)
		}
		for range 600 {
			w.pass(100 * time.Millisecond)
			w.touch()
			for _, n := range w.nodes {
				if !n.leased() {
					t.Fatalf("%s has no lease: %+v at %v", n.id, n.session.Lease(), n.now())
				}
			}
		}
	})
}

func TestSession_leasesOutliveTheLeader(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		for i := range 12 {
			w.elect(w.nodes[(i+1)%3])
			for range 25 {
				w.pass(10 * time.Millisecond)
				for _, n := range w.nodes {
					if !n.leased() {
						t.Fatalf("%s has no lease after election %d", n.id, i)
					}
				}
			}
		}
	})
}

func TestSession_watermarkFollows(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		reached := func(n *node, index state.Index) func() bool {
			return func() bool { return n.session.Watermark() >= index }
		}
		index := w.touch()
		for _, n := range w.nodes {
			w.within(20*time.Millisecond, "the watermark at "+n.id, reached(n, index))
		}
		// One that lags is waited for as long as it may have a lease; then it gets none.
		w.change(func() { w.nodes[2].lags = true })
		index = w.touch()
		took := w.await("the watermark", reached(w.nodes[1], index))
		if took < 1060*time.Millisecond || took > 2200*time.Millisecond {
			t.Errorf("one that lags was waited for %v", took)
		}
		if w.nodes[2].leased() {
			t.Error("one that lags still has a lease")
		}
		w.change(func() { w.nodes[2].lags = false })
		w.within(500*time.Millisecond, "a lease for one that has caught up", w.nodes[2].leased)
	})
}

// A new leader tells no watermark before nothing of the former one is left.
func TestSession_newLeaderWaits(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.elect(w.nodes[1])
		index := w.touch()
		took := w.await("the watermark", func() bool { return w.nodes[2].session.Watermark() >= index })
		if took < 1060*time.Millisecond || took > 1200*time.Millisecond {
			t.Errorf("the new leader waited for %v", took)
		}
	})
}

func TestSession_cutOffInstanceLosesItsLease(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[2].cut = true })
		took := w.await("the end of the lease", func() bool { return !w.nodes[2].leased() })
		if took > time.Second-lease.Margin(time.Second) {
			t.Errorf("the lease lasted for %v", took)
		}
		index := w.touch()
		w.within(1500*time.Millisecond, "the watermark without it", func() bool { return w.nodes[1].session.Watermark() >= index })
		w.pass(5 * time.Second)
		w.change(func() { w.nodes[2].cut = false })
		w.within(time.Second, "a lease again", w.nodes[2].leased)
	})
}

// A leader that hangs is left as soon as another one is elected, although its
// streams do not break.
func TestSession_leavesALeaderThatHangs(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[0].stuck = true })
		w.pass(400 * time.Millisecond)
		w.elect(w.nodes[1])
		for range 300 {
			w.pass(10 * time.Millisecond)
			if !w.nodes[1].leased() || !w.nodes[2].leased() {
				t.Fatal("the others lost their leases")
			}
		}
	})
}

// A leader that was cut off grants nothing to itself.
func TestSession_deposedLeaderHasNoLease(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[0].cut = true })
		w.elect(w.nodes[1])
		w.pass(time.Second)
		for range 100 {
			w.pass(100 * time.Millisecond)
			if w.nodes[0].leased() {
				t.Fatal("a deposed leader has a lease")
			}
		}
		w.within(0, "leases of the others", func() bool { return w.nodes[1].leased() && w.nodes[2].leased() })
	})
}

// An instance that stops is not waited for.
func TestSession_givesTheLeaseBack(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[2].lags = true })
		w.nodes[2].stop()
		if w.nodes[2].leased() {
			t.Error("it still has a lease")
		}
		index := w.touch()
		w.within(50*time.Millisecond, "the watermark without it", func() bool { return w.nodes[1].session.Watermark() >= index })
	})
}

func TestSession_barredInstanceTakesNoLease(t *testing.T) {
	for name, row := range map[string]struct{ barred, without []int }{
		"a follower": {[]int{2}, []int{2}},
		"the leader": {[]int{0}, []int{0, 1, 2}}, // it knows of another cluster that the others may not see
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, w *testCluster) {
				w.settle()
				bar := func(why string) {
					for _, i := range row.barred {
						w.nodes[i].barred.Store(why)
					}
				}
				bar("there is another cluster")
				for _, i := range row.barred {
					w.within(200*time.Millisecond, "the end of its lease", func() bool { return !w.nodes[i].leased() })
				}
				w.pass(1500 * time.Millisecond)
				for range 50 {
					w.pass(100 * time.Millisecond)
					for i, n := range w.nodes {
						if got, want := n.leased(), !slices.Contains(row.without, i); got != want {
							t.Fatalf("instance %d has a lease: %v, want %v", i, got, want)
						}
					}
				}
				bar("")
				for i, n := range w.nodes {
					w.within(time.Second, fmt.Sprint("a lease again of ", i), n.leased)
				}
			})
		})
	}
}

// One that is cut off hears of no leader, and ends its lease all the same.
func TestSession_barEndsALeaseWithoutALeader(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[2].cut = true })
		w.nodes[2].barred.Store("there is another cluster")
		w.within(200*time.Millisecond, "the end of its lease", func() bool { return !w.nodes[2].leased() })
	})
}
