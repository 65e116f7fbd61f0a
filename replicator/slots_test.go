package replicator

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/repair"
	"praefect/replicator/queue"
)

// Copies onto one storage hang, for ten repositories and a single worker: repairs of
// another storage run at once all the while.
func TestReplicator_aStorageThatHangsKeepsNoOtherWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		for i := range 10 {
			w.behindAt(fmt.Sprintf("hangs-%d.git", i), "1", "g3")
		}
		w.meet("g3", "ReplicateRepository", fate{slow: 1000 * time.Hour})
		r, stop := w.replicatingAs(t, Config{Workers: 1})
		defer stop()
		for i := range 40 {
			pause(t.Context(), 15*time.Minute)
			path := fmt.Sprintf("other-%d.git", i)
			w.behindAt(path, "1", "g2")
			r.Enqueue(key(path))
			until(t, 5*time.Second, func() bool { return !w.entry(path).IsBehind("g2") })
		}
		if most := w.called("ReplicateRepository", "g3"); most > 10*60 {
			t.Errorf("%d copies onto the storage in 10 h: more than one at a time", most)
		}
		w.well()
		until(t, 2*time.Hour, func() bool { return w.equal() == "" })
	})
}

// Repositories of which two storages are behind get the copy that has room.
func TestRepair_copiesWhereThereIsRoom(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		repair := w.repairing(t, Config{Workers: 1})
		w.behindAt("hangs.git", "1", "g3")
		w.mustWrite(t, "a.git", "1", false) // g2 and g3 lack it
		w.meet("g3", "ReplicateRepository", fate{slow: 20 * time.Second})
		done := make(chan outcome)
		go func() { done <- repair(repairRequest{key: key("hangs.git")}) }()
		pause(t.Context(), time.Second)
		if out := repair(repairRequest{key: key("a.git")}); out.err != nil || out.again == 0 {
			t.Errorf("got %+v, want a repair to be gone on with", out)
		}
		if entry := w.entry("a.git"); entry.IsBehind("g2") || !entry.IsBehind("g3") {
			t.Errorf("entry: %+v", entry)
		}
		<-done
		repaired(t, repair, "a.git")
		w.wantEqual(t)
	})
}

func TestSlots_oneAtATimeWhereCopiesFail(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		s := newSlots(4, NewMetrics(prometheus.NewRegistry(), w.node))
		take := func() *grant {
			t.Helper()
			g, _ := s.take(t.Context(), vsName, []string{"g3"})
			return g
		}
		broken := status.Error(codes.Internal, "disk full")
		for range slotFailures - 1 {
			take().ended("g3", broken)
		}
		take().ended("g3", repair.ErrInvalidated) // which tells nothing of the storage
		var four []*grant
		for range 4 {
			four = append(four, take())
		}
		if four[3] == nil || take() != nil {
			t.Fatal("not four at a time")
		}
		for _, g := range four {
			g.ended("g3", broken)
			g.end() // ends nothing twice
		}
		one := take()
		var delays []time.Duration
		for range 5000 {
			began := time.Now()
			g, delay := s.take(t.Context(), vsName, []string{"g3"})
			if g != nil || time.Since(began) > 0 {
				t.Fatalf("got %v after %v: a storage at which copies fail keeps no repair waiting", g, time.Since(began))
			}
			delays = append(delays, delay)
		}
		if first, last := delays[0], delays[4999]; first > time.Second || last < 4*time.Minute || last > 6*time.Minute {
			t.Errorf("tried again after %v, the last one after %v", first, last)
		}
		one.ended("g3", nil)
		for range 2 {
			if take() == nil {
				t.Error("one at a time after success")
			}
		}
	})
}

// What waits for one storage costs the queue little: the more jobs are turned away, the
// later each of them comes back.
func TestReplicator_claimsFewJobsInVain(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		const jobs = 300
		for i := range jobs {
			w.behindAt(fmt.Sprintf("hangs-%d.git", i), "1", "g3")
		}
		w.meet("g3", "ReplicateRepository", fate{err: errors.Join(status.Error(codes.Unavailable, "connection lost")), slow: time.Minute, lost: true})
		var attempts atomic.Int64
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op == queue.OpAcknowledge {
				attempts.Add(1)
			}
			return true, nil
		})
		_, stop := w.replicatingAs(t, Config{Workers: 1})
		defer stop()
		pause(t.Context(), time.Hour)
		if perMinute := attempts.Load() / 60; perMinute > 2*jobs {
			t.Errorf("%d attempts a minute at %d jobs", perMinute, jobs)
		}
	})
}

// Where copies succeed one after the other, a repair waits for its turn: few jobs go back to the queue.
func TestReplicator_jobsWaitForAStorageThatIsAtWork(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		const jobs = 200
		for i := range jobs {
			w.behindAt(fmt.Sprintf("%d.git", i), "1", "g3")
		}
		w.meet("g3", "ReplicateRepository", fate{slow: 600 * time.Millisecond}) // four at a time: one ends each 150 ms
		var acknowledged atomic.Int64
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op == queue.OpAcknowledge {
				acknowledged.Add(1)
			}
			return true, nil
		})
		began := time.Now()
		r, stop := w.replicatingAs(t, Config{})
		defer stop()
		until(t, 5*time.Minute, func() bool { return w.equal() == "" })
		if took := time.Since(began); took > jobs/4*time.Second {
			t.Errorf("%d repairs took %v", jobs, took)
		}
		if turned := testutil.ToFloat64(r.metrics.turnedAway.WithLabelValues(vsName, "g3")); turned > jobs/2 || acknowledged.Load() > jobs+jobs/2 {
			t.Errorf("%v repairs were turned away, %d attempts were acknowledged for %d jobs", turned, acknowledged.Load(), jobs)
		}
	})
}
