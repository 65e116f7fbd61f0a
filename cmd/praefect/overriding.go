package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"praefect/consensus"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/replicator/queue"
)

// overriding is an operator's word against the decisions of the cluster itself. All
// of it are commands of the log, which any instance may propose, and each can be
// repeated without harm: the state says whether there is anything left to do.
type overriding struct {
	node *consensus.Node
	jobs queue.Queue
	// ended are the in-doubt intents of a repository of which no effect can come any more, and
	// left how long one of the others may still come.
	ended func(state.Key) (ended []state.DoubtRef, left time.Duration)
	// givenUp tells how the replicas of the other storages differ from the chosen one.
	givenUp func(ctx context.Context, key state.Key, chosen string, others []string) (givenUp []state.Conflict, notCompared []string)
	// enqueue asks for the repair of a repository; it never waits.
	enqueue func(state.Key)
	// reconcile makes the jobs that are missing, or counts them.
	reconcile func(ctx context.Context, virtualStorage string, dry bool) (due, missing int, err error)
}

// compareFor bounds the comparison for the record of an accepted loss: it is part of a change that a
// person waits for.
const compareFor = 5 * time.Second

// propose brings one command into the log.
func (o overriding) propose(ctx context.Context, command state.Command) error {
	results, err := o.node.Propose(ctx, command)
	switch {
	case errors.Is(err, consensus.ErrNotProposed) && ctx.Err() != nil:
		return admin.Errorf(admin.Canceled, "given up before it was proposed")
	case errors.Is(err, consensus.ErrNotProposed):
		return noLeader(o.node, err)
	case err != nil:
		return admin.Errorf(admin.OutcomeUnknown, "%v", err)
	case results[0].Refusal != nil:
		return results[0].Refusal
	}
	return nil
}

// Undrain implements admin.Overriding.
func (o overriding) Undrain(ctx context.Context, r admin.UndrainRequest) (admin.Done, error) {
	if s := o.storage(r.VirtualStorage, r.Storage); s != nil && !drained(s) {
		return admin.Done{Already: true}, nil
	}
	err := o.propose(ctx, state.Command{Undrain: &state.Undrain{VirtualStorage: r.VirtualStorage, Storage: r.Storage, By: r.By}})
	if err != nil {
		return admin.Done{}, err
	}
	return admin.Done{Note: "it serves again once it has been healthy for a while; what it misses is copied to it then"}, nil
}

// Refill implements admin.Overriding.
func (o overriding) Refill(ctx context.Context, r admin.RefillRequest) (admin.RefillResponse, error) {
	if r.DryRun {
		if why := o.node.View().WhyNotRefilled(r.VirtualStorage, r.Storage); why != nil {
			return admin.RefillResponse{}, why
		}
		return admin.RefillResponse{}, nil
	}
	err := o.propose(ctx, state.Command{Refill: &state.Refill{VirtualStorage: r.VirtualStorage, Storage: r.Storage, By: r.By}})
	if err != nil {
		return admin.RefillResponse{}, err
	}
	return admin.RefillResponse{Done: admin.Done{Note: "its repositories are compared and copied as soon as it can be reached; then it serves"}}, nil
}

func (o overriding) storage(vs, name string) *state.Storage {
	if v := o.node.View().VirtualStorage(vs); v != nil {
		return v.Storage(name)
	}
	return nil
}

func drained(s *state.Storage) bool { return s.State == state.Out && s.Why == state.WhyDrained }

// Pause implements admin.Overriding.
func (o overriding) Pause(ctx context.Context, r admin.PauseRequest) (admin.PauseResponse, error) {
	pause := &state.Pause{VirtualStorage: r.VirtualStorage, Why: r.Why, By: r.By}
	response := admin.PauseResponse{VirtualStorages: o.meant(r.VirtualStorage)}
	if r.ForMillis > 0 {
		until := time.Now().Add(r.For()).UTC()
		pause.Until, response.Until = until.UnixMilli(), &until
	}
	return response, o.propose(ctx, state.Command{Pause: pause})
}

// Resume implements admin.Overriding.
func (o overriding) Resume(ctx context.Context, r admin.ResumeRequest) (admin.PauseResponse, error) {
	response := admin.PauseResponse{VirtualStorages: o.meant(r.VirtualStorage)}
	response.Already = !o.paused(response.VirtualStorages)
	if response.Already {
		return response, nil
	}
	return response, o.propose(ctx, state.Command{Resume: &state.Resume{VirtualStorage: r.VirtualStorage, By: r.By}})
}

// meant are the virtual storages that a name stands for.
func (o overriding) meant(name string) []string {
	if name != "" {
		return []string{name}
	}
	return defined(o.node.View())
}

func (o overriding) paused(names []string) bool {
	view := o.node.View()
	return slices.ContainsFunc(names, func(name string) bool {
		vs := view.VirtualStorage(name)
		return vs != nil && vs.Paused != nil
	})
}

// AcceptLoss implements admin.Overriding.
func (o overriding) AcceptLoss(ctx context.Context, r admin.AcceptLossRequest) (admin.Done, error) {
	key := state.Key{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath}
	if o.node.View().Entry(key) == nil {
		return admin.Done{Already: true, Note: "no storage misses an acknowledged write of this repository"}, nil
	}
	comparing, cancel := context.WithTimeout(ctx, compareFor)
	givenUp, notCompared := o.givenUp(comparing, key, r.Storage, o.others(r.VirtualStorage, r.Storage))
	cancel()
	ended, left := o.ended(key)
	err := o.propose(ctx, state.Command{AcceptLoss: &state.AcceptLoss{
		Key: key, Storage: r.Storage, Ended: ended, By: r.By, GivenUp: givenUp, NotCompared: notCompared,
	}})
	if refusal, ok := errors.AsType[*state.Refusal](err); ok && refusal.Reason == state.RefusedBusy && left > 0 {
		return admin.Done{}, &state.Refusal{Reason: refusal.Reason, Detail: fmt.Sprintf("%s: what is in doubt ends within %s", refusal.Detail, left.Round(time.Second))}
	}
	if err != nil {
		return admin.Done{}, err
	}
	o.enqueue(key) // else the next search for missing jobs would
	return admin.Done{Note: "the other storages get this replica as soon as they can be reached"}, nil
}

// others are the storages of a virtual storage beside one.
func (o overriding) others(virtualStorage, storage string) (names []string) {
	vs := o.node.View().VirtualStorage(virtualStorage)
	if vs == nil {
		return nil
	}
	for _, st := range vs.Succession {
		if st.Name != storage {
			names = append(names, st.Name)
		}
	}
	return names
}

// DropJobs implements admin.Overriding.
func (o overriding) DropJobs(ctx context.Context, r admin.DropRequest) (admin.DropResponse, error) {
	away := func(err error) (admin.DropResponse, error) {
		return admin.DropResponse{}, admin.Errorf(admin.NotAvailable, "the queue cannot be reached; jobs that were dropped meanwhile stay so: %v", err)
	}
	if !r.DryRun {
		dropped, err := o.jobs.Drop(ctx, queue.DropFilter{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath, State: queue.State(r.State)})
		if err != nil {
			return away(err)
		}
		return admin.DropResponse{Dropped: dropped, AtLeast: dropped == queue.MaxBatch}, nil
	}
	jobs, err := o.jobs.List(ctx, queue.ListFilter{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath, State: queue.State(r.State)})
	if err != nil {
		return away(err)
	}
	answer := admin.DropResponse{Dropped: len(jobs), AtLeast: len(jobs) == queue.MaxBatch}
	view := o.node.View()
	for _, j := range jobs {
		if e := view.Entry(state.Key(j.Key)); e != nil && len(e.Behind) > 0 {
			answer.Listed++
		}
	}
	return answer, nil
}

// Reconcile implements admin.Overriding.
func (o overriding) Reconcile(ctx context.Context, r admin.ReconcileRequest) (admin.ReconcileResponse, error) {
	due, made, err := o.reconcile(ctx, r.VirtualStorage, r.DryRun)
	if err != nil {
		return admin.ReconcileResponse{}, admin.Errorf(admin.NotAvailable, "the queue cannot be reached; jobs that were made meanwhile stay: %v", err)
	}
	return admin.ReconcileResponse{Due: due, Made: made}, nil
}

// RetryJobs implements admin.Overriding.
func (o overriding) RetryJobs(ctx context.Context, r admin.RetryRequest) (admin.RetryResponse, error) {
	retried, err := o.jobs.Retry(ctx, queue.RetryFilter{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath, Failed: true})
	if err != nil {
		return admin.RetryResponse{}, admin.Errorf(admin.NotAvailable, "the queue cannot be reached; jobs that became ready meanwhile stay so: %v", err)
	}
	return admin.RetryResponse{Retried: retried}, nil
}
