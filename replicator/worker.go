package replicator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"praefect/replicator/queue"
)

// worker takes jobs from the queue and repairs the repositories that they point to. A claim only
// keeps two workers from the same effort; that two repairs of one repository do
// no harm is up to the repair lock and the intents.
type worker struct {
	backlog *backlog
	ledger  Ledger
	repair  func(context.Context, repairRequest) outcome
	cfg     Config
	log     *slog.Logger
	metrics *Metrics

	wake chan struct{} // holds 1: there may be jobs, or room for them

	jobs    sync.WaitGroup
	mu      sync.Mutex
	running map[queue.Attempt]*atomic.Bool // set when the claim was lost; guarded by mu
	busy    map[string]int                 // jobs running, by virtual storage; guarded by mu
}

// run dequeues until ctx ends, and returns when the last job has ended. work
// ends the calls of jobs that are still running.
func (w *worker) run(ctx, work context.Context) {
	defer w.jobs.Wait()
	failures := 0
	lost := search{until: time.Now().Add(w.cfg.Lease)}
	for ctx.Err() == nil {
		var claimed bool
		err := w.takeBack(ctx, &lost)
		if err == nil {
			claimed, err = w.dequeue(ctx, work)
		}
		switch {
		case err != nil:
			failures++
			lost = search{until: time.Now().Add(w.cfg.Lease)}
			pause(ctx, backOffAfter(queueDelayMin, queueDelayMax, failures, rand.Float64()))
			continue
		case claimed:
			failures = 0
			continue
		}
		failures = 0
		w.rest(ctx, lost.until)
	}
}

// pollSeldom is how many PollIntervals pass between two looks into the queue while the ledger lists
// no repository.
const pollSeldom = 5

// rest waits until the worker is woken, or the next look into the queue is due. While the ledger
// lists no repository there is nothing to repair, and looks are rare: a job that is in the queue all
// the same, such as one of a repository that was just repaired, can wait. Not before the moment
// until which lost claims are looked for.
func (w *worker) rest(ctx context.Context, lost time.Time) {
	for began := time.Now(); ctx.Err() == nil; {
		every, changed := w.cfg.PollInterval, (<-chan struct{})(nil)
		if next := w.ledger.Changed(); time.Now().After(lost) && w.ledger.View().Len() == 0 {
			every, changed = pollSeldom*every, next
		}
		left := every - time.Since(began)
		if left <= 0 {
			return
		}
		select {
		case <-changed:
		case <-w.wake:
			return
		case <-time.After(left):
		case <-ctx.Done():
		}
	}
}

// search is about claims under our name that do not run here: when the worker looks for some next,
// and until when it does so at all.
type search struct{ next, until time.Time }

// takeBack takes back the jobs that are claimed under our name and do not run here: jobs
// that the process before had claimed when it died, and claims that were committed and whose answer
// was lost. No other worker would before the leases end. A commit may be carried out after its
// client has gone, so the worker looks every PollInterval for the time of a Lease, from its start
// and from each failed call on. A claim that is committed later than that waits for the end of its
// lease. Only the goroutine that claims may call it, so that no claim is on its way.
func (w *worker) takeBack(ctx context.Context, s *search) error {
	now := time.Now()
	if now.Before(s.next) || now.After(s.until) {
		return nil
	}
	var n int
	err := w.backlog.call(ctx, func(ctx context.Context) (err error) {
		n, err = w.backlog.queue.Reclaim(ctx, w.cfg.Name, w.attempts()...)
		return err
	})
	if err != nil {
		return fmt.Errorf("take claims back that nobody works on: %w", err)
	}
	if n > 0 {
		w.log.Info("replication jobs taken back that were claimed and did not run", "count", n)
	}
	if n < queue.MaxBatch {
		s.next = time.Now().Add(w.cfg.PollInterval)
	}
	return nil
}

// attempts are the ones that run here.
func (w *worker) attempts() []queue.Attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Keys(w.running))
}

// dequeue starts as many jobs of each virtual storage as there is room for, and
// reports whether there were any.
func (w *worker) dequeue(ctx, work context.Context) (claimed bool, err error) {
	view := w.ledger.View()
	for i := range view.VirtualStorages {
		vs := view.VirtualStorages[i].Name
		w.mu.Lock()
		// For each storage: jobs for which one has no room leave the others their own.
		room := w.cfg.Workers*len(view.VirtualStorages[i].Succession) - w.busy[vs]
		w.mu.Unlock()
		if room <= 0 {
			continue
		}
		var jobs []queue.Job
		err := w.backlog.call(ctx, func(ctx context.Context) (err error) {
			jobs, err = w.backlog.queue.Dequeue(ctx, queue.Claim{VirtualStorage: vs, Worker: w.cfg.Name, Limit: room, Lease: w.cfg.Lease})
			return err
		})
		if err != nil {
			return claimed, fmt.Errorf("dequeue jobs of %q: %w", vs, err)
		}
		for _, job := range jobs {
			claimed = true
			w.start(ctx, work, job)
		}
	}
	return claimed, nil
}

func (w *worker) start(ctx, work context.Context, job queue.Job) {
	lost := new(atomic.Bool)
	w.mu.Lock()
	w.running[job.Current()] = lost
	w.busy[job.VirtualStorage]++
	w.mu.Unlock()
	w.jobs.Go(func() {
		out := w.attempt(work, job, func() bool { return lost.Load() || ctx.Err() != nil })
		w.acknowledge(ctx, work, job, out)
		w.mu.Lock()
		delete(w.running, job.Current())
		w.busy[job.VirtualStorage]--
		w.mu.Unlock()
		wake(w.wake)
	})
}

// attempt repairs the repository that a job points to.
func (w *worker) attempt(work context.Context, job queue.Job, stopped func() bool) outcome {
	began := time.Now()
	defer func() { w.metrics.latency.WithLabelValues(changeUpdate).Observe(time.Since(began).Seconds()) }()
	// Both times are of the queue's clock: when it was claimed, and due.
	w.metrics.delay.WithLabelValues(changeUpdate).Observe(max(0, job.Updated.Sub(job.NotBefore)).Seconds())
	return w.repair(work, repairRequest{key: job.Key, stopped: stopped})
}

// jobOutcome is how the attempt at a job ended, in the queue's terms; random is
// from [0,1).
func (w *worker) jobOutcome(job queue.Job, out outcome, random float64) (name string, ending queue.Outcome) {
	switch {
	case out.err == nil && out.again > 0:
		return "postponed", queue.Postpone(out.again).WaitingFor(string(out.waits))
	case out.err == nil:
		return "completed", queue.Complete()
	}
	delay := backOffAfter(w.cfg.RetryMin, w.cfg.RetryMax, job.Failures+1, random)
	if job.Failures+1 >= w.cfg.Attempts {
		return "dead", queue.Bury(delay, out.err).WaitingFor(string(out.waits))
	}
	return "failed", queue.Fail(delay, out.err).WaitingFor(string(out.waits))
}

// acknowledge tells the queue how the attempt ended. It goes on while the queue
// is away: no other instance could do anything with the job either. If we die, or
// stop, before, the job comes back when its lease has ended, and the worker that takes
// it finds nothing left to do.
func (w *worker) acknowledge(ctx, work context.Context, job queue.Job, out outcome) {
	name, ending := w.jobOutcome(job, out, rand.Float64())
	w.metrics.ended.WithLabelValues(job.VirtualStorage, name).Inc()
	log := w.log.With("job_id", job.ID, "attempt", job.Attempt, "virtual_storage", job.VirtualStorage, "relative_path", job.RelativePath)
	switch ending.Kind() {
	case queue.OutcomeFailed:
		level := slog.LevelDebug
		if job.Failures == 0 {
			level = slog.LevelWarn
		}
		log.Log(work, level, "replication job failed", "err", out.err, "retry_in", ending.Delay().String())
	case queue.OutcomeDead:
		log.Error("replication job is dead", "err", out.err)
	default:
		log.Debug("replication job ended", "outcome", name)
	}
	for failures := 1; ; failures++ {
		err := w.backlog.call(work, func(ctx context.Context) error {
			return w.backlog.queue.Acknowledge(ctx, job.Current(), ending)
		})
		switch {
		case err == nil:
			return
		case errors.Is(err, queue.ErrStaleAttempt):
			log.Debug("the attempt was reclaimed meanwhile")
			return
		case ctx.Err() != nil || errors.Is(err, queue.ErrInvalid):
			log.Warn("a replication job is left to its lease", "err", err)
			return
		}
		pause(ctx, backOffAfter(queueDelayMin, queueDelayMax, failures, rand.Float64()))
	}
}

// keep extends the claims of the running jobs, and takes back the claims of workers
// that died, until ctx ends. It outlives run, whose last jobs need it.
func (w *worker) keep(ctx context.Context) {
	for ctx.Err() == nil {
		pause(ctx, w.cfg.Lease/3)
		if err := w.heartbeat(ctx); err != nil && ctx.Err() == nil {
			w.log.Debug("heartbeat of replication jobs", "err", err)
		}
	}
}

func (w *worker) heartbeat(ctx context.Context) error {
	var lost []queue.Attempt
	attempts := w.attempts()
	err := w.backlog.call(ctx, func(ctx context.Context) (err error) {
		if len(attempts) > 0 {
			if lost, err = w.backlog.queue.Heartbeat(ctx, w.cfg.Lease, attempts); err != nil {
				return err
			}
		}
		n, err := w.backlog.queue.Reclaim(ctx, "")
		if n > 0 {
			w.log.Info("replication jobs of lost workers reclaimed", "count", n)
			wake(w.wake)
		}
		return err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, attempt := range lost {
		// It may have ended since; then no attempt listens any more.
		if flag := w.running[attempt]; flag != nil {
			flag.Store(true)
		}
	}
	return err
}
