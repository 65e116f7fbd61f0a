package replicator

import (
	"context"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

const (
	// overdue is for how long a job that is due waits before it is said to wait for a
	// worker.
	overdue = 10 * time.Second
	// waitingShare bounds the part of the time in which waiting repairs are counted: one
	// of so many.
	waitingShare = 20
)

// met are the reasons that only the instance which repairs knows of.
var met = []plan.Reason{plan.Write, plan.PauseBudget, plan.Pool, plan.Limit, plan.Failed}

// Waiting says for which reason the repair of a repository waits, as far as this instance
// knows. It asks no other process.
func (r *Replicator) Waiting(key state.Key) plan.Waiting { return r.waiting(r.ledger.View(), key) }

func (r *Replicator) waiting(view *state.State, key state.Key) plan.Waiting {
	p := r.repairer.plan(view, key, false)
	if p.Action == plan.Idle || p.Action == plan.Wait {
		return p.For
	}
	if left := r.repairer.backoffs.left(key); left > 0 {
		return plan.Waiting{Reason: r.repairer.backoffs.get(key).reason(), Left: left}
	}
	return plan.Waiting{}
}

// WaitingJob says for which reason a job waits: the reason that this instance knows, and else the
// finding of the worker of its last attempt.
func (r *Replicator) WaitingJob(job queue.Job) plan.Waiting {
	if job.State == queue.InProgress {
		return plan.Waiting{}
	}
	if w := r.Waiting(job.Key); w.Reason != "" {
		return w
	}
	if found := plan.Reason(job.WaitsFor); slices.Contains(met, found) {
		return plan.Waiting{Reason: found}
	}
	if job.State != queue.Dead && time.Since(job.NotBefore) > overdue {
		return plan.Waiting{Reason: plan.Limit}
	}
	return plan.Waiting{}
}

// countWaiting counts the repairs that wait for the metric, until ctx ends.
func (r *Replicator) countWaiting(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		view := r.ledger.View()
		for i := range view.VirtualStorages {
			vs := view.VirtualStorages[i].Name
			counts := make(map[plan.Reason]int)
			view.Each(vs, func(key state.Key, _ *state.Entry) bool {
				counts[r.waiting(view, key).Reason]++
				return ctx.Err() == nil
			})
			for _, reason := range plan.Reasons {
				r.metrics.waiting.WithLabelValues(vs, string(reason)).Set(float64(counts[reason]))
			}
		}
		pause(ctx, max(depthInterval, waitingShare*time.Since(began)))
	}
}
