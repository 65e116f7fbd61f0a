package session_test

import (
	"slices"
	"testing"
	"time"

	"praefect/fsm/state"
)

func (w *testCluster) stands(want string) func() bool {
	return func() bool { return w.storageStates() == want }
}

const (
	healthy   = "g1 serving g2 serving g3 serving "
	withoutG1 = "g2 serving g3 serving g1 out "
	backAgain = "g2 serving g3 serving g1 serving "
)

func TestSession_failsOver(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.kill("g1", w.nodes[0])
		w.pass(5 * time.Second)
		if got := w.storageStates(); got != healthy {
			t.Fatalf("one of three said dead: %s", got)
		}
		w.kill("g1", w.nodes[1])
		w.within(50*time.Millisecond, "the failover", w.stands(withoutG1))
		w.kill("g1", w.nodes[2])
		w.pass(time.Minute)
		w.revive("g1")
		if took := w.await("the return", w.stands(backAgain)); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it came back after %v", took)
		}
	})
}

// An instance that is cut off is waited for, as it may have a lease; its storages
// are failed over all the same.
func TestSession_failsOverWithoutOneInstance(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.change(func() { w.nodes[2].cut = true })
		w.kill("g1", w.nodes[:2]...)
		for w.storageStates() != withoutG1 {
			w.pass(time.Millisecond)
		}
		if w.nodes[2].leased() {
			t.Error("a successor serves while one that knows nothing of it has a lease")
		}
	})
}

func TestSession_nextLeaderEndsTheFence(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.kill("g1", w.nodes...)
		w.change(func() { w.nodes[2].lags = true }) // the fence is not applied by all
		w.within(50*time.Millisecond, "the fence", w.stands("g1 fenced g2 serving g3 serving "))
		w.elect(w.nodes[1])
		w.change(func() { w.nodes[2].lags = false })
		w.within(1200*time.Millisecond, "the end of the failover", w.stands(withoutG1))
	})
}

// What was sent over a connection before the storage was out must not come
// after its return: there is another connection by then.
func TestSession_renewsConnectionsToWhatIsOut(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		// Two of three lost it; the third one still has its connection.
		w.kill("g1", w.nodes[:2]...)
		w.within(50*time.Millisecond, "the failover", w.stands(withoutG1))
		s := w.nodes[2].storages
		w.await("another connection", func() bool { return slices.Contains(s.Renewed(), "g1") })
		w.pass(time.Minute)
		if renewed := s.Renewed(); len(renewed) > 2 || slices.Contains(renewed, "g2") {
			t.Errorf("renewed: %q", renewed)
		}
	})
}

// An instance that was paused says nothing of the storages for a while.
func TestSession_starvedInstanceReportsNothing(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.kill("g1", w.nodes[1])
		w.change(func() { w.nodes[0].jump += 10 * time.Second })
		w.kill("g1", w.nodes[0])
		w.pass(300 * time.Millisecond)
		if got := w.storageStates(); got != healthy {
			t.Errorf("a starved instance was believed: %s", got)
		}
		w.within(time.Second, "the failover", w.stands(withoutG1))
	})
}

func TestSession_retiresWhoIsGone(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		gone := w.nodes[2]
		live := func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.view.Instance(gone.inc) != nil
		}
		w.change(func() { gone.cut = true })
		w.pass(time.Minute)
		if !live() {
			t.Fatal("one that is only cut off was retired")
		}
		w.change(func() { gone.refuses = true })
		w.within(2*time.Second, "its retirement", func() bool { return !live() })
		// It does not get a lease any more, should it come back.
		w.change(func() { gone.cut, gone.refuses = false, false })
		w.pass(5 * time.Second)
		if gone.leased() {
			t.Error("a retired instance has a lease")
		}
	})
}

// A command that is refused is an alarm, and not an entry of the log each time.
func TestSession_refusedCommandsAreNotRepeatedAtOnce(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		alarmed := w.nodes[0].session.Alarms()
		before := locked(w.nodes[0], func() state.Index { return w.view.Index })
		w.pass(time.Minute)
		if after := locked(w.nodes[0], func() state.Index { return w.view.Index }); after != before || len(alarmed) > 0 {
			t.Errorf("%d entries in a quiet minute, alarms %+v", after-before, alarmed)
		}
	})
}
