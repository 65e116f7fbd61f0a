package replicator

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
	"praefect/test/must"
)

// working runs a worker whose repairs are made up, and its keeper.
func (w *fixture) working(cfg Config, repair func(context.Context, repairRequest) outcome) (wk *worker, stop func()) {
	wk = w.replicator(cfg).worker
	wk.repair = repair
	ctx, cancel := context.WithCancel(context.Background())
	work, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { wk.keep(work) })
	running.Go(func() { wk.run(ctx, work); end() })
	return wk, func() { cancel(); running.Wait() }
}

// enqueue puts jobs into the queue.
func (w *fixture) enqueue(t *testing.T, paths ...string) {
	t.Helper()
	requests := make([]queue.Request, len(paths))
	for i, path := range paths {
		requests[i].Key = key(path)
	}
	must.Succeed(t, w.queue.Enqueue(t.Context(), requests))
}

func (w *fixture) jobs(t *testing.T) []queue.Job {
	t.Helper()
	jobs, err := w.queue.List(t.Context(), queue.ListFilter{})
	must.Succeed(t, err)
	return jobs
}

// setQueueFault decides what becomes of calls to the queue.
func (w *fixture) setQueueFault(fault func(queue.Operation) (bool, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faultQ = fault
}

func away(queue.Operation) (bool, error) { return false, queue.ErrUnavailable }

func TestWorker_outcomes(t *testing.T) {
	w := &worker{cfg: Config{RetryMin: time.Second, RetryMax: time.Minute, Attempts: 3}}
	broken := errors.New("broken")
	for _, row := range []struct {
		name     string
		failures int
		out      outcome
		kind     queue.OutcomeKind
		delay    time.Duration
	}{
		{"completed", 2, outcome{}, queue.OutcomeCompleted, 0},
		{"postponed", 2, outcome{again: time.Hour}, queue.OutcomePostponed, time.Hour},
		{"failed", 0, outcome{err: broken}, queue.OutcomeFailed, time.Second},
		{"failed", 1, outcome{err: broken}, queue.OutcomeFailed, 2 * time.Second},
		{"dead", 2, outcome{err: broken}, queue.OutcomeDead, 4 * time.Second},
		{"dead", 9, outcome{err: broken}, queue.OutcomeDead, time.Minute},
	} {
		name, got := w.jobOutcome(queue.Job{Failures: row.failures}, row.out, 0.5)
		if name != row.name || got.Kind() != row.kind || got.Delay() != row.delay {
			t.Errorf("%+v after %d failures: %s, %v, %v", row.out, row.failures, name, got.Kind(), got.Delay())
		}
	}
}

func TestWorker_runsSoManyAtATimeAndOneForEachPath(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var running, most, total atomic.Int32
		// One for each of three storages.
		_, stop := w.working(Config{Workers: 1}, func(ctx context.Context, _ repairRequest) outcome {
			most.Store(max(most.Load(), running.Add(1)))
			total.Add(1)
			pause(ctx, time.Second)
			running.Add(-1)
			return outcome{}
		})
		defer stop()
		w.enqueue(t, "a", "b", "c", "d", "e", "f", "g")
		w.enqueue(t, "a", "b", "c", "d", "e", "f", "g")
		until(t, 10*time.Second, func() bool { return len(w.jobs(t)) == 0 })
		if most.Load() != 3 || total.Load() != 7 {
			t.Errorf("%d jobs, %d at a time", total.Load(), most.Load())
		}
	})
}

func TestWorker_failsWithBackOffAndDies(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var runs atomic.Int32
		_, stop := w.working(Config{Attempts: 4}, func(context.Context, repairRequest) outcome {
			runs.Add(1)
			return outcome{err: errors.New("disk full")}
		})
		defer stop()
		w.enqueue(t, "a")
		until(t, time.Minute, func() bool { return w.jobs(t)[0].State == queue.Dead })
		time.Sleep(time.Minute)
		if job := w.jobs(t)[0]; job.LastError != "disk full" || runs.Load() != 4 {
			t.Errorf("job %+v after %d runs", job, runs.Load())
		}
	})
}

func TestWorker_keepsTheClaimOfALongJob(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var runs atomic.Int32
		_, stop := w.working(Config{Lease: 3 * time.Second}, func(ctx context.Context, _ repairRequest) outcome {
			runs.Add(1)
			pause(ctx, time.Minute)
			return outcome{}
		})
		defer stop()
		w.enqueue(t, "a")
		until(t, 2*time.Minute, func() bool { return len(w.jobs(t)) == 0 })
		if runs.Load() != 1 {
			t.Errorf("%d runs", runs.Load())
		}
	})
}

func TestWorker_stopsAJobWhoseClaimWasLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var stopped atomic.Bool
		_, stop := w.working(Config{Lease: 3 * time.Second, Workers: 1}, func(ctx context.Context, o repairRequest) outcome {
			for !o.stopped() {
				pause(ctx, time.Second)
			}
			stopped.Store(true)
			return outcome{}
		})
		defer stop()
		w.enqueue(t, "a")
		synctest.Wait()
		time.Sleep(2 * time.Second)
		// No sign of life comes through for longer than the lease; another
		// worker takes the job back.
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op == queue.OpHeartbeat {
				return away(op)
			}
			return true, nil
		})
		time.Sleep(5 * time.Second)
		if n, err := w.queue.Reclaim(t.Context(), ""); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		w.setQueueFault(nil)
		until(t, 10*time.Second, stopped.Load)
	})
}

func TestWorker_acknowledgesWhenTheQueueIsBack(t *testing.T) {
	for _, applied := range []bool{false, true} {
		bubble(t, func(t *testing.T, w *fixture) {
			var runs atomic.Int32
			_, stop := w.working(Config{}, func(context.Context, repairRequest) outcome {
				runs.Add(1)
				w.setQueueFault(func(queue.Operation) (bool, error) {
					return applied, errors.Join(queue.ErrUnavailable, queue.ErrOutcomeUnknown)
				})
				return outcome{}
			})
			defer stop()
			w.enqueue(t, "a")
			time.Sleep(10 * time.Second)
			w.setQueueFault(nil)
			until(t, 10*time.Second, func() bool { return len(w.jobs(t)) == 0 })
			if runs.Load() != 1 {
				t.Errorf("%d runs", runs.Load())
			}
		})
	}
}

func TestWorker_takesBackClaimsWhoseAnswerWasLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		var runs atomic.Int32
		release := make(chan struct{})
		wk, stop := w.working(Config{Lease: time.Hour, Workers: 2}, func(ctx context.Context, o repairRequest) outcome {
			runs.Add(1)
			if o.key.RelativePath == "long" {
				select {
				case <-release:
				case <-ctx.Done():
				}
			}
			return outcome{}
		})
		defer stop()
		w.enqueue(t, "long")
		wake(wk.wake)
		until(t, 10*time.Second, func() bool { return runs.Load() == 1 })
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op != queue.OpDequeue {
				return true, nil
			}
			return true, errors.Join(queue.ErrUnavailable, queue.ErrOutcomeUnknown)
		})
		w.enqueue(t, "lost")
		until(t, 10*time.Second, func() bool {
			return slices.ContainsFunc(w.jobs(t), func(j queue.Job) bool { return j.RelativePath == "lost" && j.State == queue.InProgress })
		})
		w.setQueueFault(nil)
		until(t, time.Minute, func() bool { return len(w.jobs(t)) == 1 })
		close(release)
		until(t, 10*time.Second, func() bool { return len(w.jobs(t)) == 0 })
		if runs.Load() != 2 {
			t.Errorf("%d runs, want one of each job", runs.Load())
		}
	})
}

// TestWorker_looksForLostClaimsWhileThereMayBeSome: for one lease after the start and after each
// failure, and not for as long as nothing happens.
func TestWorker_looksForLostClaimsWhileThereMayBeSome(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		const lease = 30 * time.Second
		var looks, runs atomic.Int32
		var fails atomic.Bool
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op == queue.OpReclaim {
				looks.Add(1)
			}
			if op == queue.OpDequeue && fails.Load() {
				return away(op)
			}
			return true, nil
		})
		_, stop := w.working(Config{Name: "w", Lease: lease}, func(context.Context, repairRequest) outcome {
			runs.Add(1)
			return outcome{}
		})
		defer stop()
		time.Sleep(2 * lease)
		if n := looks.Load(); n < 30 {
			t.Errorf("%d looks after the start, want one a second for the time of a lease", n)
		}
		looks.Store(0)
		time.Sleep(20 * lease)
		if n := looks.Load(); n > 80 { // the keeper's, for claims of every worker
			t.Errorf("%d looks in 20 leases without an event, want three or four a lease", n)
		}

		fails.Store(true)
		time.Sleep(2 * pollSeldom * time.Second) // the worker looks at least once meanwhile
		fails.Store(false)
		for _, path := range []string{"late", "later"} { // commits that are carried out after the worker has given up
			w.enqueue(t, path)
			jobs, err := w.queue.Dequeue(t.Context(), queue.Claim{VirtualStorage: vsName, Worker: "w", Limit: 1, Lease: time.Hour})
			if err != nil || len(jobs) != 1 {
				t.Fatalf("claimed %v, %v", jobs, err)
			}
			until(t, lease/2, func() bool { return len(w.jobs(t)) == 0 })
		}
		if runs.Load() != 2 {
			t.Errorf("%d runs, want one of each job", runs.Load())
		}
	})
}

func TestWorker_leavesAJobToItsLeaseWhenItStops(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		_, stop := w.working(Config{}, func(ctx context.Context, o repairRequest) outcome {
			for !o.stopped() {
				pause(ctx, 100*time.Millisecond)
			}
			w.setQueueFault(away)
			return outcome{again: time.Second}
		})
		w.enqueue(t, "a")
		time.Sleep(5 * time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("stopped after %v", took)
		}
		w.setQueueFault(nil)
		if job := w.jobs(t)[0]; job.State != queue.InProgress {
			t.Errorf("job: %+v", job)
		}
		_, stop = w.working(Config{}, func(context.Context, repairRequest) outcome { return outcome{} })
		defer stop()
		until(t, time.Minute, func() bool { return len(w.jobs(t)) == 0 })
	})
}

func TestReconciler_makesJobsForEntriesWithoutOne(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{})
		for i := range 2*reconcilePage + 1 {
			w.mustWrite(t, string(rune('a'+i%26))+"/"+time.Duration(i).String(), "1", false)
		}
		w.enqueue(t, "a/0s")
		if n, err := r.reconciler.search(t.Context(), false); n != 2*reconcilePage || err != nil {
			t.Errorf("%d jobs made, %v", n, err)
		}
		if n, err := r.reconciler.search(t.Context(), false); n != 0 || err != nil {
			t.Errorf("%d jobs made the second time, %v", n, err)
		}
	})
}

func TestReplicator_reconcile(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{})
		for i := range reconcilePage + 1 {
			w.mustWrite(t, "a/"+time.Duration(i).String(), "1", false)
		}
		w.enqueue(t, "a/0s")
		for _, want := range []struct {
			virtualStorage string
			dry            bool
			due, missing   int
		}{
			{"other", true, 0, 0},
			{"", true, reconcilePage + 1, reconcilePage},
			{"", true, reconcilePage + 1, reconcilePage}, // a dry one has made none
			{"", false, reconcilePage + 1, reconcilePage},
			{"", false, reconcilePage + 1, 0},
		} {
			due, missing, err := r.Reconcile(t.Context(), want.virtualStorage, want.dry)
			if err != nil || due != want.due || missing != want.missing {
				t.Errorf("%+v: got %d, %d, %v", want, due, missing, err)
			}
		}
	})
}

func TestReconciler_triesDeadJobsOnceMore(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r := w.replicator(Config{DeadRetry: time.Hour})
		w.mustWrite(t, "a", "1", false)
		bury := func() {
			t.Helper()
			jobs, err := w.queue.Dequeue(t.Context(), queue.Claim{VirtualStorage: vsName, Worker: "x", Limit: 1, Lease: time.Minute})
			if err != nil || len(jobs) != 1 {
				t.Fatal(jobs, err)
			}
			must.Succeed(t, w.queue.Acknowledge(t.Context(), jobs[0].Current(), queue.Bury(0, errors.New("broken"))))
		}
		expect := func(when string, want queue.State) {
			t.Helper()
			if got := w.jobs(t)[0].State; got != want {
				t.Errorf("%s: %s, want %s", when, got, want)
			}
		}
		search := func(all bool) {
			t.Helper()
			if _, err := r.reconciler.search(t.Context(), all); err != nil {
				t.Fatal(err)
			}
		}
		search(false)
		bury()
		search(false)
		expect("soon after", queue.Dead)
		search(true)
		expect("a storage came back", queue.Ready)
		bury()
		time.Sleep(time.Hour)
		search(false)
		expect("an hour later", queue.Ready)
	})
}

func TestReconciler_searchesWhenSomethingCallsForIt(t *testing.T) {
	for _, row := range []struct {
		name   string
		before func(t *testing.T, w *fixture)
		after  func(t *testing.T, w *fixture)
	}{
		{
			name:   "a storage comes back",
			before: func(_ *testing.T, w *fixture) { w.reach("g2", false); w.reach("g3", false) },
			after:  func(_ *testing.T, w *fixture) { w.reach("g2", true) },
		},
		{
			name:   "a storage was lost and is back before anybody looked",
			before: func(*testing.T, *fixture) {},
			after:  func(_ *testing.T, w *fixture) { w.reach("g2", false); w.reach("g2", true) },
		},
		{
			name:   "the primary comes back",
			before: func(_ *testing.T, w *fixture) { w.reach("g1", false) },
			after:  func(_ *testing.T, w *fixture) { w.reach("g1", true) },
		},
		{
			name:   "the queue comes back",
			before: func(_ *testing.T, w *fixture) { w.setQueueFault(away) },
			after:  func(_ *testing.T, w *fixture) { w.setQueueFault(nil) },
		},
		{
			name:   "an interval has passed",
			before: func(*testing.T, *fixture) {},
			after:  func(*testing.T, *fixture) { time.Sleep(5 * time.Minute) },
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				r := w.replicator(Config{ReconcileInterval: 5 * time.Minute, RetryMax: time.Minute})
				row.before(t, w)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); r.reconciler.run(ctx) }()
				time.Sleep(30 * time.Second)
				w.mustWrite(t, "a", "1", false)
				time.Sleep(30 * time.Second)
				if jobs := w.anyJobs(); len(jobs) != 0 {
					t.Errorf("jobs before: %+v", jobs)
				}
				row.after(t, w)
				until(t, 2*time.Minute, func() bool { return len(w.anyJobs()) == 1 })
				cancel()
				<-done
			})
		})
	}
}

// anyJobs lists the jobs, none while the queue is away.
func (w *fixture) anyJobs() []queue.Job {
	jobs, err := w.queue.List(context.Background(), queue.ListFilter{})
	if err != nil {
		return nil
	}
	return jobs
}

func TestReconciler_resolvesADoubtThatNothingElseTellsOf(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		stop := w.replicating(t, Config{})
		defer stop()
		w.put("a.git", "1", "g1", "g2", "g3")
		w.inDoubt("a.git", state.Scope{BoundMillis: 60_000, RefsOnly: true, Targets: []string{"g1"}})
		time.Sleep(59 * time.Second)
		if !w.entry("a.git").HasDoubt() {
			t.Error("resolved before its bound")
		}
		// Nobody was told: the next search finds it.
		until(t, 6*time.Minute, func() bool { return w.entry("a.git") == nil })
	})
}

// TestWorker_looksSeldomWhileNothingIsListed: a job is found within a second all the same once the
// ledger lists a repository, although another instance has enqueued it.
func TestWorker_looksSeldomWhileNothingIsListed(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		const lease = 30 * time.Second
		var looks atomic.Int32
		w.setQueueFault(func(op queue.Operation) (bool, error) {
			if op == queue.OpDequeue {
				looks.Add(1)
			}
			return true, nil
		})
		_, stop := w.working(Config{Name: "w", Lease: lease}, func(context.Context, repairRequest) outcome { return outcome{} })
		defer stop()
		time.Sleep(2 * lease)
		looks.Store(0)
		time.Sleep(time.Minute)
		if n := looks.Load(); n < 11 || n > 13 {
			t.Errorf("%d looks in a minute without a listed repository, want one every 5 s", n)
		}
		w.behindAt("a.git", "1", "g3")
		looks.Store(0)
		time.Sleep(1100 * time.Millisecond)
		if n := looks.Load(); n == 0 {
			t.Error("no look within a second after a repository was listed")
		}
		looks.Store(0)
		time.Sleep(10 * time.Second)
		if n := looks.Load(); n < 9 {
			t.Errorf("%d looks in 10 s with a listed repository", n)
		}
	})
}
