package proxy

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
	"praefect/test/gitaly/memory"
)

// TestResumption_aFewAtATime has ten writes of a repository get a primary in one moment: each needs
// 100 ms of it. They go on two at a time and in their order, one of another repository does not
// wait, and nothing is kept of them.
func TestResumption_aFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r resumption
		start := time.Now()
		went := make(chan time.Duration, 10)
		for range 10 {
			go func() {
				leave := r.enter(t.Context(), keyOf("a.git"))
				defer leave()
				went <- time.Since(start)
				time.Sleep(100 * time.Millisecond)
			}()
			synctest.Wait() // so that they come in an order
		}
		r.enter(t.Context(), keyOf("b.git"))()
		if since := time.Since(start); since != 0 {
			t.Errorf("the write of another repository waited for %v", since)
		}
		for n := range 10 {
			if at, want := <-went, time.Duration(n/resumedAtOnce)*100*time.Millisecond; at != want {
				t.Errorf("write %d went on after %v, not %v", n, at, want)
			}
		}
		synctest.Wait()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if len(r.gates) > 0 {
			t.Errorf("%d gates are kept", len(r.gates))
		}
	})
}

// TestResumption_bounds has the writes before hang, as at a primary that is paused: a write waits for
// so long at most, those behind it not once more, and one that is given up not at all.
func TestResumption_bounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r resumption
		var leave []func()
		start := time.Now()
		for range resumedAtOnce {
			leave = append(leave, r.enter(t.Context(), keyOf("a.git")))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		leave = append(leave, r.enter(ctx, keyOf("a.git")))
		if since := time.Since(start); since != 0 {
			t.Errorf("a write that was given up waited for %v", since)
		}
		went := make(chan time.Duration)
		for range 6 {
			go func() {
				defer r.enter(t.Context(), keyOf("a.git"))()
				went <- time.Since(start)
			}()
		}
		for range 6 {
			if at := <-went; at != resumedFor {
				t.Errorf("a write went on after %v, not %v", at, resumedFor)
			}
		}
		for _, l := range leave {
			l()
		}
		synctest.Wait()
		if len(r.gates) > 0 {
			t.Errorf("%d gates are kept: %v", len(r.gates), map[state.Key]*resumeGate(r.gates))
		}
	})
}

// TestVote_lostPrimaryIsNotMissedAtOnce has eight writes of a repository wait for a primary that is
// taken away. Its successor is not asked for all of them in one moment, and does them all.
func TestVote_lostPrimaryIsNotMissedAtOnce(t *testing.T) {
	const writes = 8
	w := newMemoryVote(t)
	before := len(w.storages["gitaly-2"].asked())
	reached, left := make(chan struct{}, writes), make(chan struct{})
	w.storages["gitaly-1"].setHook(func(context.Context, memory.Call) (bool, error) {
		reached <- struct{}{}
		<-left
		return true, nil
	})
	done := make(chan error, writes)
	for n := range writes {
		go func() { done <- w.writeRef(t.Context(), "a.git", fmt.Sprintf("refs/heads/%d", n), revision) }()
	}
	for range writes {
		<-reached
	}
	w.eventually(func() error { // as a secondary
		if n := len(w.storages["gitaly-2"].asked()) - before; n < writes {
			return fmt.Errorf("%d writes have reached gitaly-2", n)
		}
		return nil
	})
	var now, most atomic.Int32
	w.storages["gitaly-2"].setHook(func(context.Context, memory.Call) (bool, error) {
		defer now.Add(-1)
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		time.Sleep(5 * time.Millisecond)
		return true, nil
	})
	w.fence("gitaly-1")
	w.admit("gitaly-1")
	for range writes {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	close(left)
	for n := range writes {
		if on := w.has(fmt.Sprintf("refs/heads/%d", n)); !slices.Contains(on, "gitaly-2") {
			t.Errorf("write %d is on %v", n, on)
		}
	}
	if n := most.Load(); n > resumedAtOnce {
		t.Errorf("the successor was asked for %d writes at once", n)
	}
}
