package replicator

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

// waits expects that the repair of a.git waits for this, and that the metric says so.
func (w *fixture) waits(t *testing.T, r *Replicator, want plan.Reason) plan.Waiting {
	t.Helper()
	got := r.Waiting(key("a.git"))
	if got.Reason != want {
		t.Errorf("it waits for %+v, want %q", got, want)
	}
	wait(2 * depthInterval)
	if n := testutil.ToFloat64(r.metrics.waiting.WithLabelValues(vsName, string(want))); r.Waiting(key("a.git")).Reason == want && n != 1 {
		t.Errorf("the metric counts %v of %q, want 1", n, want)
	}
	return got
}

func TestWaiting_forWhatTheStateSays(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, stop := w.replicatingAs(t, Config{})
		defer stop()
		w.put("a.git", "0", "g1", "g2", "g3")
		if got := r.Waiting(key("a.git")); got.Reason != "" {
			t.Errorf("a clean repository waits for %+v", got)
		}
		w.reach("g2", false)
		w.reach("g3", false)
		w.mustWrite(t, "a.git", "1", false)
		wait(10 * time.Second) // the intent is closed
		if got := w.waits(t, r, plan.TargetAway); len(got.Storages) != 2 {
			t.Errorf("it waits for the storages %q", got.Storages)
		}
		w.reach("g1", false)
		w.waits(t, r, plan.SourceAway)
		for _, name := range []string{"g1", "g2", "g3"} {
			w.reach(name, true)
		}
		until(t, time.Minute, func() bool { return w.equal() == "" && w.entry("a.git") == nil })
		wait(2 * depthInterval)
		for _, reason := range plan.Reasons {
			if n := testutil.ToFloat64(r.metrics.waiting.WithLabelValues(vsName, string(reason))); n != 0 {
				t.Errorf("repaired: the metric counts %v of %q", n, reason)
			}
		}
	})
}

// TestWaiting_forABound: the bound of what ended unseen is told with the time that is left.
func TestWaiting_forABound(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, stop := w.replicatingAs(t, Config{})
		defer stop()
		w.inDoubt("a.git", state.Scope{BoundMillis: 120_000, Targets: []string{"g1"}})
		got := w.waits(t, r, plan.DoubtBound)
		if got.Left <= 0 || got.Left > 2*time.Minute || got.Incarnation != w.node.inc {
			t.Errorf("got %+v", got)
		}
		until(t, 5*time.Minute, func() bool { return w.entry("a.git") == nil })
	})
}

// TestWaiting_jobsOfABusyRepository: the queue tells every instance what only the worker knows.
func TestWaiting_jobsOfABusyRepository(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		cfg := repairs
		cfg.CopyFloor = time.Minute
		r, stop := w.replicatingAs(t, cfg)
		defer stop()
		w.replicates(30 * time.Second) // longer than writes wait
		quiet := w.busy(t)
		elsewhere := w.replicator(cfg) // knows nothing of the attempts
		found := make(map[plan.Reason]bool)
		until(t, 20*time.Minute, func() bool {
			r.Enqueue(key("a.git"))
			wait(time.Second)
			for _, job := range w.jobs(t) {
				found[elsewhere.WaitingJob(job).Reason] = true
				if job.State == queue.InProgress && elsewhere.WaitingJob(job).Reason != "" {
					t.Errorf("a job that runs waits: %+v", job)
				}
			}
			return found[plan.PauseBudget]
		})
		quiet()
	})
}

func TestWaiting_jobs(t *testing.T) {
	w := newFixture(t)
	r := w.replicator(Config{})
	w.must(
		state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{"a.git"}, Kind: state.PrimaryOnly}},
		state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: vsName, Paths: []string{"a.git"}, Primary: "g1", Epoch: w.node.View().VirtualStorage(vsName).Epoch, Agreeing: []string{"g1"}}},
	)
	due := time.Now()
	for _, row := range []struct {
		name string
		job  queue.Job
		want plan.Reason
	}{
		{"runs", queue.Job{State: queue.InProgress, NotBefore: due.Add(-time.Hour)}, ""},
		{"soon due", queue.Job{State: queue.Ready, NotBefore: due.Add(time.Hour)}, ""},
		{"long due", queue.Job{State: queue.Ready, NotBefore: due.Add(-time.Hour)}, plan.Limit},
		{"met a write", queue.Job{State: queue.Ready, NotBefore: due.Add(time.Hour), WaitsFor: string(plan.Write)}, plan.Write},
		{"no longer in the way", queue.Job{State: queue.Ready, NotBefore: due.Add(time.Hour), WaitsFor: string(plan.LiveIntent)}, ""},
		{"failed", queue.Job{State: queue.Failed, NotBefore: due.Add(time.Hour), WaitsFor: string(plan.Failed)}, plan.Failed},
		{"dead", queue.Job{State: queue.Dead, NotBefore: due.Add(-time.Hour), WaitsFor: string(plan.Failed)}, plan.Failed},
	} {
		row.job.Key = key("a.git")
		if got := r.WaitingJob(row.job); got.Reason != row.want {
			t.Errorf("%s: waits for %+v, want %q", row.name, got, row.want)
		}
	}
}
