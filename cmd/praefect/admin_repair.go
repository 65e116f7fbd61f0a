package main

import (
	"context"
	"slices"
	"strings"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

// repairs is the replicator, as far as it tells of its work.
type repairs interface {
	Backfills() []replicator.Backfill
	Waiting(key state.Key) plan.Waiting
	WaitingJob(job queue.Job) plan.Waiting
}

// adminRepair tells the operators' service how repair goes.
type adminRepair struct {
	repairs
	queue queue.Queue
	view  func() *state.State
}

func (r adminRepair) Backfilling(virtualStorage, name string) *admin.Backfilling {
	for _, backfill := range r.Backfills() {
		if backfill.VirtualStorage == virtualStorage && slices.Contains(backfill.Storages, name) {
			return &admin.Backfilling{Total: backfill.Total, Done: backfill.Done, Left: backfill.Left}
		}
	}
	return nil
}

func (r adminRepair) Jobs(ctx context.Context, request admin.QueueListRequest) ([]admin.Job, error) {
	jobs, err := r.queue.List(ctx, queue.ListFilter{
		VirtualStorage: request.VirtualStorage, RelativePath: request.RelativePath, State: queue.State(request.State), After: request.After, Limit: request.Limit,
	})
	if err != nil {
		return nil, err
	}
	list := make([]admin.Job, 0, len(jobs))
	for _, j := range jobs {
		list = append(list, admin.Job{
			ID: j.ID, VirtualStorage: j.VirtualStorage, RelativePath: j.RelativePath, Target: strings.Join(j.Targets, ","),
			State: string(j.State), Attempt: j.Attempt, Reason: j.Reason, Error: j.LastError,
			Created: j.Created.UTC(), NotBefore: j.NotBefore.UTC(), WaitsFor: r.ofJob(j),
		})
	}
	return list, nil
}

// Waiting implements admin.Repair.
func (r adminRepair) Waiting(key state.Key) *admin.Waiting { return r.named(r.repairs.Waiting(key)) }

// ofJob says why a job waits, nil if that is not known.
func (r adminRepair) ofJob(j queue.Job) *admin.Waiting { return r.named(r.repairs.WaitingJob(j)) }

// named says why a repair waits, in the terms of the operators' service; nil if it does not.
func (r adminRepair) named(w plan.Waiting) *admin.Waiting {
	if w.Reason == "" {
		return nil
	}
	answer := &admin.Waiting{
		Reason: string(w.Reason), Incarnation: w.Incarnation, Storages: w.Storages, LeftMillis: w.Left.Milliseconds(),
	}
	if in := r.view().Instance(w.Incarnation); in != nil {
		answer.Instance = in.Name
	}
	return answer
}
