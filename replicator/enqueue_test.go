package replicator

import (
	"errors"
	"slices"
	"testing"

	"praefect/replicator/queue"
)

func TestEnqueuer_neverWaits(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{EnqueueLimit: 3})
		w.setQueueFault(away)
		for _, path := range []string{"a", "b", "a", "c", "d"} {
			w.mustWrite(t, path, "1", false)
			r.Enqueue(key(path))
		}
		if _, err := r.enqueuer.flush(t.Context()); !errors.Is(err, queue.ErrUnavailable) {
			t.Fatal(err)
		}
		w.setQueueFault(nil)
		if more, err := r.enqueuer.flush(t.Context()); more || err != nil {
			t.Fatal(more, err)
		}
		if jobs := w.jobs(t); len(jobs) != 3 || !slices.Equal(jobs[0].Targets, []string{"g2", "g3"}) || jobs[0].Reason != "write" {
			t.Errorf("jobs: %+v", jobs)
		}
	})
}

func TestEnqueuer_hasTheReconcilerLookForWhatItDropped(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{EnqueueLimit: 3})
		for _, path := range []string{"a", "b", "c", "d"} {
			w.mustWrite(t, path, "1", false)
			r.Enqueue(key(path))
		}
		if _, err := r.enqueuer.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case <-r.reconciler.wake:
		default:
			t.Error("it was not told")
		}
	})
}

func TestEnqueuer_leavesOutWhatCannotBeRepaired(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{})
		w.mustWrite(t, "a", "1", false)
		w.reach("g2", false)
		w.reach("g3", false)
		r.Enqueue(key("a"))
		r.Enqueue(key("clean"))
		if _, err := r.enqueuer.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if jobs := w.jobs(t); len(jobs) != 0 {
			t.Errorf("jobs: %+v", jobs)
		}
	})
}

func TestEnqueuer_aPathThatTheQueueCannotNameHoldsUpNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{})
		long := string(slices.Repeat([]byte{'x'}, 3000))
		for _, path := range []string{"a", long} {
			w.mustWrite(t, path, "1", false)
			r.Enqueue(key(path))
		}
		if more, err := r.enqueuer.flush(t.Context()); more || err != nil {
			t.Fatal(more, err)
		}
		if jobs := w.jobs(t); len(jobs) != 1 {
			t.Errorf("jobs: %+v", jobs)
		}
		if enqueued, err := r.reconciler.search(t.Context(), true); err != nil {
			t.Fatal(enqueued, err)
		}
	})
}
