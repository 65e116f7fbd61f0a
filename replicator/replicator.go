package replicator

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

// depthInterval is how often the jobs are counted for the metrics.
const depthInterval = 15 * time.Second

// Deps are the parts that a Replicator works on.
type Deps struct {
	Ledger      Ledger
	RepairLocks RepairLocks
	Storages    Storages
	Queue       queue.Queue
	// Catalogue is kept near the truth; nil: there is none.
	Catalogue Catalogue
	// Verifications remember which repositories were verified when; nil: none is.
	Verifications queue.Verifications
	// Leads tells whether this instance backfills storages, compares the catalogue and verifies:
	// one of all does, the leader. nil means yes.
	Leads func() bool
	// Watch tells which calls have ended at their storage; nil knows of
	// successful ones only.
	Watch Watch
	// Stamp dates the calls that change a replica; nil leaves them undated.
	Stamp   Stamp
	Log     *slog.Logger
	Metrics *Metrics
}

// Replicator repairs replicas. Its methods may be called by any goroutine at any time,
// also before and after Run.
type Replicator struct {
	cfg        Config
	backlog    *backlog
	calls      *calls
	repairer   *repairer
	stepDowner *stepDowner
	firstSeen  *firstSeen
	ledger     Ledger
	enqueuer   *enqueuer
	worker     *worker
	reconciler *reconciler
	backfiller *backfiller
	cataloguer *cataloguer
	verifier   *verifier
	alarms     *alarms
	log        *slog.Logger
	metrics    *Metrics
}

// New makes a replicator. It does no I/O and starts nothing.
func New(deps Deps, cfg Config) *Replicator {
	cfg = cfg.withDefaults()
	if deps.Watch == nil {
		deps.Watch = watchNothing
	}
	if deps.Stamp == nil {
		deps.Stamp = func(ctx context.Context, _ time.Time) context.Context { return ctx }
	}
	if deps.Leads == nil {
		deps.Leads = func() bool { return true }
	}
	log, metrics := deps.Log, deps.Metrics
	r := &Replicator{
		cfg: cfg, ledger: deps.Ledger, log: log, metrics: metrics,
		firstSeen: newFirstSeen(),
		alarms:    &alarms{log: log},
	}
	calls := &calls{storages: deps.Storages, watch: deps.Watch, lookTimeout: cfg.LookTimeout}
	repairer := &repairer{
		ledger: deps.Ledger, locks: deps.RepairLocks, calls: calls, stamp: deps.Stamp, cfg: cfg, log: log, metrics: metrics,
		alarms: r.alarms, firstSeen: r.firstSeen, backoffs: &backoffs{}, troubles: &troubles{}, slots: newSlots(cfg.Workers, metrics), remakes: &remakes{},
	}
	r.calls, r.repairer = calls, repairer
	request := func(key state.Key, reason string) (queue.Request, bool) {
		view := deps.Ledger.View()
		p := repairer.plan(view, key, false)
		if p.Action == plan.Idle {
			return queue.Request{}, false
		}
		req := queue.Request{Key: key, Reason: reason, Delay: min(max(p.Wait, repairer.backoffs.left(key)), waitLongest)}
		if entry := view.Entry(key); entry != nil {
			req.Targets = slices.Clone(entry.Behind)
		}
		return req, true
	}
	r.worker = &worker{
		ledger: deps.Ledger, repair: repairer.repair, cfg: cfg, log: log, metrics: metrics,
		wake: make(chan struct{}, 1), running: make(map[queue.Attempt]*atomic.Bool), busy: make(map[string]int),
	}
	hasJobs := func() { wake(r.worker.wake) }
	r.reconciler = &reconciler{
		ledger: deps.Ledger, storages: deps.Storages, request: request, cfg: cfg, log: log, metrics: metrics,
		flushed: hasJobs, wake: make(chan struct{}, 1),
	}
	search := func() { wake(r.reconciler.wake) }
	r.enqueuer = &enqueuer{
		request: request, limit: cfg.EnqueueLimit, log: log, metrics: metrics,
		flushed: hasJobs, overflow: search, wake: make(chan struct{}, 1), pending: make(map[state.Key]struct{}),
	}
	r.backfiller = &backfiller{
		ledger: deps.Ledger, leads: deps.Leads, calls: calls, repair: repairer.repair, enqueue: r.Enqueue, cfg: cfg, log: log, metrics: metrics,
		backfills: make(map[string]*Backfill), firstCopy: &firstCopier{repairer: repairer, enqueue: r.Enqueue},
	}
	r.stepDowner = &stepDowner{repairer: repairer, enqueue: r.Enqueue, wake: make(chan struct{}, 1), pending: make(map[state.Key]failedPrimary)}
	r.cataloguer = &cataloguer{
		catalogue: deps.Catalogue, ledger: deps.Ledger, leads: deps.Leads, calls: calls, cfg: cfg, log: log, metrics: metrics,
		wake: make(chan struct{}, 1), touched: make(map[state.Key]struct{}),
	}
	r.verifier = &verifier{
		verifications: deps.Verifications, repairer: repairer, leads: deps.Leads, touch: r.Touch, enqueue: r.Enqueue, cfg: cfg, log: log, metrics: metrics,
		broken: make(chan state.Key, damagesKept),
	}
	r.cataloguer.gone = r.verifier.gone
	r.backlog = &backlog{queue: deps.Queue, timeout: cfg.QueueTimeout, log: log, metrics: metrics, recovered: search}
	r.worker.backlog, r.reconciler.backlog, r.enqueuer.backlog = r.backlog, r.backlog, r.backlog
	return r
}

// Run repairs until ctx ends. Then it begins nothing new, gives the copies under
// way Config.StopGrace to end, and returns. It is called once, when the
// replicated state is ready.
func (r *Replicator) Run(ctx context.Context) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()

	var helpers, workers sync.WaitGroup
	helpers.Go(func() {
		select {
		case <-ctx.Done():
			pause(work, r.cfg.StopGrace)
			cancel()
		case <-work.Done():
		}
	})
	helpers.Go(func() { r.firstSeen.run(work, r.ledger) })
	helpers.Go(func() { r.worker.keep(work) })
	workers.Go(func() { r.enqueuer.run(ctx) })
	workers.Go(func() { r.worker.run(ctx, work) })
	workers.Go(func() { r.reconciler.run(ctx) })
	workers.Go(func() { r.stepDowner.run(ctx, work) })
	workers.Go(func() { r.backfiller.run(ctx, work) })
	workers.Go(func() { r.cataloguer.run(ctx) })
	workers.Go(func() { r.verifier.run(ctx, work) })
	workers.Go(func() { r.count(ctx) })
	workers.Go(func() { r.countWaiting(ctx) })
	workers.Wait()
	cancel()
	helpers.Wait()
	return nil
}

// about returns a logger of lines about a repository.
func about(log *slog.Logger, key state.Key) *slog.Logger {
	return log.With("virtual_storage", key.VirtualStorage, "relative_path", key.RelativePath)
}

// Enqueue asks for a repair of a repository whose ledger entry says that
// storages are behind. It never waits, and nothing is lost if it is not called:
// the reconciler would find the entry later.
func (r *Replicator) Enqueue(key state.Key) { r.enqueuer.add(key) }

// Reconcile searches at once for repositories that need a repair and have no job, of one virtual
// storage or of all (""), and makes the jobs unless it is dry. It returns how many repositories a
// repair can begin for, and how many of them had no job. It needs the queue.
func (r *Replicator) Reconcile(ctx context.Context, virtualStorage string, dry bool) (due, missing int, err error) {
	return r.reconciler.now(ctx, virtualStorage, dry)
}

// Touch tells that a repository may have been created or removed, for the
// catalogue. It never waits, and nothing is lost if it is not called.
func (r *Replicator) Touch(key state.Key) { r.cataloguer.touch(key) }

// QueueAnswers reports whether the queue answered the last call.
func (r *Replicator) QueueAnswers() bool { return r.backlog.answers() }

// Backfills returns how far the backfilling of storages is, by virtual storage.
func (r *Replicator) Backfills() []Backfill { return r.backfiller.list() }

// Alarms returns the repositories that repairs alone do not bring in order.
func (r *Replicator) Alarms() []Alarm {
	view := r.ledger.View()
	r.alarms.settle(func(key state.Key) bool { return r.repairer.plan(view, key, false).Well })
	return r.alarms.list()
}

// Damages returns the replicas that this instance's verification found damaged.
func (r *Replicator) Damages() []Damage { return r.verifier.damaged.list() }

// count counts the jobs for the metrics until ctx ends.
func (r *Replicator) count(ctx context.Context) {
	for ctx.Err() == nil {
		var depths []queue.Depth
		err := r.backlog.call(ctx, func(ctx context.Context) (err error) {
			depths, err = r.backlog.queue.Depth(ctx, 0)
			return err
		})
		if err == nil {
			r.metrics.setDepths(depths)
		} else if ctx.Err() == nil {
			r.log.Debug("count the replication jobs", "err", err)
		}
		pause(ctx, depthInterval)
	}
}
