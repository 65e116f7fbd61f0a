package replicator

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

const (
	// reconcilePage bounds how many repositories a search holds in memory.
	reconcilePage = 500
	// watchInterval is how often the reconciler looks for storages that can be
	// repaired again; changes of connections it sees at once.
	watchInterval = time.Second
)

// reconciler finds the repositories that need a repair and have no job: repositories
// that were behind while the queue, or a storage, was away, and repositories that this process or
// another forgot when it died.
type reconciler struct {
	backlog  *backlog
	ledger   Ledger
	storages Storages
	request  func(key state.Key, reason string) (queue.Request, bool)
	cfg      Config
	log      *slog.Logger
	metrics  *Metrics
	flushed  func() // called when jobs were enqueued

	wake chan struct{} // holds 1: something was lost, search now
}

// run searches at the start, each interval, and whenever something calls for
// it, until ctx ends.
func (r *reconciler) run(ctx context.Context) {
	known := make(map[place]grpc.ClientConnInterface)
	next := time.Now() // of the next search; zero: none is planned
	failures := 0
	for ctx.Err() == nil {
		changed := r.storages.Changed()
		arrived := r.arrived(known)
		if arrived || !next.IsZero() && !time.Now().Before(next) {
			_, err := r.search(ctx, arrived)
			switch {
			case err != nil:
				if ctx.Err() == nil {
					r.log.Debug("search for repositories without a job", "err", err)
				}
				failures++
				clear(known) // the storages that arrived are still to be seen to
				next = time.Now().Add(backOffAfter(queueDelayMin, r.cfg.RetryMax, failures, rand.Float64()))
				// Until then a storage that arrives must not make it sooner.
				r.wait(ctx, nil, time.Until(next))
				continue
			case r.cfg.ReconcileInterval > 0:
				next = time.Now().Add(r.cfg.ReconcileInterval)
			default:
				next = time.Time{}
			}
			failures = 0
		}
		if r.wait(ctx, changed, untilNext(time.Now(), watchInterval)) {
			next = time.Now()
		}
	}
}

// wait waits for d, for a change, or to be woken, which it reports.
func (r *reconciler) wait(ctx context.Context, changed <-chan struct{}, d time.Duration) (woken bool) {
	select {
	case <-r.wake:
		return true
	case <-changed:
	case <-time.After(d):
	case <-ctx.Done():
	}
	return false
}

// place is a storage of a virtual storage.
type place struct{ virtualStorage, storage string }

// arrived notes in known over which connections storages can be repaired or
// copied from now, and reports whether there is a new one. A storage that was
// lost and is back counts even if no look came in between: the job that found
// it away has ended meanwhile.
func (r *reconciler) arrived(known map[place]grpc.ClientConnInterface) bool {
	view, arrived := r.ledger.View(), false
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		for j := range vs.Succession {
			st := &vs.Succession[j]
			conn, err := r.storages.Conn(vs.Name, st.Name)
			if err != nil || st.State != state.Serving && st.State != state.Backfilling {
				conn = nil
			}
			p := place{vs.Name, st.Name}
			if conn != nil && conn != known[p] {
				arrived = true
			}
			known[p] = conn
		}
	}
	return arrived
}

// search enqueues the repositories that need a repair, page by page, and
// returns how many. With all it does not ask which of them have a job: one that
// is running may have looked just before the storage arrived, and one that is
// dead deserves another try. Its cost grows with the number of faults, not with the
// number of repositories.
func (r *reconciler) search(ctx context.Context, all bool) (enqueued int, err error) {
	began := time.Now()
	defer func() { r.metrics.scheduling.Observe(time.Since(began).Seconds()) }()
	page := make([]queue.Request, 0, reconcilePage)
	flush := func() bool {
		var n int
		n, err = r.enqueue(ctx, page, all)
		enqueued += n
		page = page[:0]
		return err == nil
	}
	r.ledger.View().Each("", func(key state.Key, _ *state.Entry) bool {
		request, due := r.request(key, "reconcile")
		if !due {
			return true
		}
		page = append(page, request)
		return len(page) < reconcilePage || flush()
	})
	if err == nil && len(page) > 0 {
		flush()
	}
	if err != nil {
		return enqueued, err
	}
	if enqueued > 0 {
		r.log.Info("replication jobs made for repositories that had none", "count", enqueued)
	}
	return enqueued, r.revive(ctx)
}

// enqueue enqueues the repositories of a page that have no job, or all.
func (r *reconciler) enqueue(ctx context.Context, page []queue.Request, all bool) (int, error) {
	if !all {
		var err error
		if page, err = r.without(ctx, page); err != nil {
			return 0, err
		}
	}
	if len(page) == 0 {
		return 0, nil
	}
	err := r.backlog.call(ctx, func(ctx context.Context) error { return r.backlog.queue.Enqueue(ctx, page) })
	if errors.Is(err, queue.ErrInvalid) {
		r.log.Error("repositories that the queue cannot name are not repaired", "err", err)
		err = nil
	}
	if err != nil {
		return 0, err
	}
	r.flushed()
	return len(page), nil
}

// without returns the repositories of a page that have no job.
func (r *reconciler) without(ctx context.Context, page []queue.Request) ([]queue.Request, error) {
	keys := make([]state.Key, len(page))
	for i := range page {
		keys[i] = page[i].Key
	}
	var missing []state.Key
	err := r.backlog.call(ctx, func(ctx context.Context) (err error) {
		missing, err = r.backlog.queue.Missing(ctx, keys)
		return err
	})
	if err != nil {
		return nil, err
	}
	return only(page, missing), nil
}

// now searches for an operator: it counts the repositories of a virtual storage, or of all, that a
// repair can begin for, and the ones among them that have no job, and makes these jobs unless it is
// dry.
func (r *reconciler) now(ctx context.Context, virtualStorage string, dry bool) (due, missing int, err error) {
	page := make([]queue.Request, 0, reconcilePage)
	flush := func() bool {
		var without []queue.Request
		if without, err = r.without(ctx, page); err == nil && !dry {
			_, err = r.enqueue(ctx, without, true)
		}
		due, missing, page = due+len(page), missing+len(without), page[:0]
		return err == nil
	}
	r.ledger.View().Each(virtualStorage, func(key state.Key, _ *state.Entry) bool {
		if request, is := r.request(key, "operator"); is {
			page = append(page, request)
		}
		return len(page) < reconcilePage || flush()
	})
	if err == nil && len(page) > 0 {
		flush()
	}
	return due, missing, err
}

// revive has dead jobs tried once more that rested long enough: the cause of their
// failure may be gone.
func (r *reconciler) revive(ctx context.Context) error {
	if r.cfg.DeadRetry < 0 {
		return nil
	}
	return r.backlog.call(ctx, func(ctx context.Context) error {
		n, err := r.backlog.queue.Retry(ctx, queue.RetryFilter{DeadFor: r.cfg.DeadRetry})
		if n > 0 {
			r.log.Info("dead replication jobs are tried once more", "count", n)
			r.flushed()
		}
		return err
	})
}

// only returns the requests for the keys.
func only(requests []queue.Request, keys []state.Key) []queue.Request {
	wanted := make(map[state.Key]bool, len(keys))
	for _, key := range keys {
		wanted[key] = true
	}
	kept := requests[:0]
	for _, request := range requests {
		if wanted[request.Key] {
			kept = append(kept, request)
		}
	}
	return kept
}
