package admintest

import (
	"context"
	"errors"
	"slices"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

var _ admin.Control = (*Cluster)(nil)

// once carries out a change unless its id was answered before. Callers must not
// hold mu; do is called with it.
func once[Response any](ctx context.Context, c *Cluster, method string, r admin.Change, do func() (Response, error)) (Response, error) {
	c.mu.Lock()
	c.asked = append(c.asked, r)
	answer, answered := c.answers[r.RequestID].(Response)
	led := c.raft.Leader != ""
	c.mu.Unlock()
	if answered {
		return answer, nil
	}
	if !led {
		return answer, admin.Errorf(admin.NoLeader, "nobody leads")
	}
	apply, failed := c.at(ctx, method, admin.StagePlan)
	if !apply {
		return answer, failed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answer, err := do()
	if err == nil {
		c.answers[r.RequestID] = answer
	}
	return answer, errors.Join(failed, err)
}

// planned is once, but for a dry run, which is not noted.
func planned[Response any](ctx context.Context, c *Cluster, method string, r admin.Change, dryRun bool, do func() (Response, error)) (Response, error) {
	if !dryRun {
		return once(ctx, c, method, r, do)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return do()
}

func (c *Cluster) at(ctx context.Context, method string, stage admin.Stage) (apply bool, err error) {
	if c.At == nil {
		return true, nil
	}
	return c.At(ctx, method, stage)
}

// Instances implements admin.Membership.
func (c *Cluster) Instances(context.Context) (admin.RaftView, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	view := c.raft
	view.Instances = slices.Clone(view.Instances)
	return view, nil
}

func (c *Cluster) member(name string) int {
	return slices.IndexFunc(c.raft.Instances, func(i admin.Instance) bool { return i.Name == name || i.ID == name })
}

// AddInstance implements admin.Membership.
func (c *Cluster) AddInstance(ctx context.Context, r admin.AddRequest) (admin.Done, error) {
	return once(ctx, c, "AddInstance", r.Change, func() (admin.Done, error) {
		if c.member(r.Name) >= 0 {
			return admin.Done{Already: true}, nil
		}
		c.raft.Instances = append(c.raft.Instances, admin.Instance{Name: r.Name, ID: "id-" + r.Name, Addr: r.Addr, State: admin.Joining})
		return admin.Done{Note: "it takes part as a non-voter now, and votes once it has caught up"}, c.apply(state.Command{Record: &state.Record{What: state.ChangeAdded, Instance: r.Name, By: r.By}})
	})
}

// RemoveInstance implements admin.Membership. It refuses to remove the leader.
func (c *Cluster) RemoveInstance(ctx context.Context, r admin.RemoveRequest) (admin.Done, error) {
	return once(ctx, c, "RemoveInstance", r.Change, func() (admin.Done, error) {
		i := c.member(r.Name)
		switch {
		case i < 0:
			return admin.Done{}, admin.Errorf(admin.NotFound, "no instance %q", r.Name)
		case c.raft.Instances[i].State == admin.Leader && !r.Force:
			return admin.Done{}, admin.Errorf(admin.Refused, "%s leads: first praefectctl raft transfer", r.Name)
		}
		c.raft.Instances = slices.Delete(slices.Clone(c.raft.Instances), i, i+1)
		note := "it never comes back under its former id: to take part again it begins with an empty raft.data_dir"
		return admin.Done{Note: note}, c.apply(state.Command{Record: &state.Record{What: state.ChangeRemoved, Instance: r.Name, By: r.By}})
	})
}

// RetireInstance implements admin.Membership. It refuses to retire the leader.
func (c *Cluster) RetireInstance(ctx context.Context, r admin.RetireRequest) (admin.Done, error) {
	return once(ctx, c, "RetireInstance", r.Change, func() (admin.Done, error) {
		i := c.member(r.Name)
		switch {
		case i < 0:
			return admin.Done{}, admin.Errorf(admin.NotFound, "no instance %q", r.Name)
		case c.raft.Instances[i].State == admin.Leader:
			return admin.Done{}, admin.Errorf(admin.Refused, "%s leads", r.Name)
		}
		return admin.Done{Note: "what it had under way is in doubt and is resolved by comparison; it stays a member"}, c.retire(r)
	})
}

// retire retires the incarnation of an instance, if there is one in the state. It needs mu.
func (c *Cluster) retire(r admin.RetireRequest) error {
	for _, in := range c.state.Instances {
		if in.Name == r.Name && in.Incarnation != incarnation {
			return c.apply(state.Command{Retire: &state.Retire{Incarnation: in.Incarnation, Proof: state.ProofOperator, By: r.By}})
		}
	}
	return nil
}

// TransferLeadership implements admin.Membership. Without a name the second
// instance leads.
func (c *Cluster) TransferLeadership(ctx context.Context, r admin.TransferRequest) (admin.Done, error) {
	return once(ctx, c, "TransferLeadership", r.Change, func() (admin.Done, error) {
		i := 1
		if r.Name != "" {
			i = c.member(r.Name)
		}
		if i < 0 {
			return admin.Done{}, admin.Errorf(admin.NotFound, "no instance %q", r.Name)
		}
		c.raft.Leader = c.raft.Instances[i].Name
		return admin.Done{Note: c.raft.Leader + " leads"}, nil
	})
}

// Undrain implements admin.Overriding.
func (c *Cluster) Undrain(ctx context.Context, r admin.UndrainRequest) (admin.Done, error) {
	return once(ctx, c, "Undrain", r.Change, func() (admin.Done, error) {
		note := "it serves again once it has been healthy for a while; what it misses is copied to it then"
		return admin.Done{Note: note}, c.apply(state.Command{Undrain: &state.Undrain{VirtualStorage: r.VirtualStorage, Storage: r.Storage, By: r.By}})
	})
}

// Refill implements admin.Overriding.
func (c *Cluster) Refill(ctx context.Context, r admin.RefillRequest) (admin.RefillResponse, error) {
	if r.DryRun {
		if why := c.View().WhyNotRefilled(r.VirtualStorage, r.Storage); why != nil {
			return admin.RefillResponse{}, why
		}
		return admin.RefillResponse{}, nil
	}
	return once(ctx, c, "Refill", r.Change, func() (admin.RefillResponse, error) {
		done := admin.Done{Note: "its repositories are compared and copied as soon as it can be reached; then it serves"}
		return admin.RefillResponse{Done: done}, c.apply(state.Command{Refill: &state.Refill{VirtualStorage: r.VirtualStorage, Storage: r.Storage, By: r.By}})
	})
}

// Pause implements admin.Overriding.
func (c *Cluster) Pause(ctx context.Context, r admin.PauseRequest) (admin.PauseResponse, error) {
	return once(ctx, c, "Pause", r.Change, func() (admin.PauseResponse, error) {
		answer := admin.PauseResponse{VirtualStorages: c.names(r.VirtualStorage)}
		command := &state.Pause{VirtualStorage: r.VirtualStorage, Why: r.Why, By: r.By}
		if r.ForMillis > 0 {
			until := c.now().Add(r.For())
			answer.Until, command.Until = &until, until.UnixMilli()
		}
		return answer, c.apply(state.Command{Pause: command})
	})
}

// Resume implements admin.Overriding.
func (c *Cluster) Resume(ctx context.Context, r admin.ResumeRequest) (admin.PauseResponse, error) {
	return once(ctx, c, "Resume", r.Change, func() (admin.PauseResponse, error) {
		return admin.PauseResponse{VirtualStorages: c.names(r.VirtualStorage)},
			c.apply(state.Command{Resume: &state.Resume{VirtualStorage: r.VirtualStorage, By: r.By}})
	})
}

func (c *Cluster) names(only string) (names []string) {
	for _, vs := range c.state.VirtualStorages {
		if only == "" || only == vs.Name {
			names = append(names, vs.Name)
		}
	}
	return names
}

// AcceptLoss implements admin.Overriding.
func (c *Cluster) AcceptLoss(ctx context.Context, r admin.AcceptLossRequest) (admin.Done, error) {
	return once(ctx, c, "AcceptLoss", r.Change, func() (admin.Done, error) {
		key := state.Key{VirtualStorage: r.VirtualStorage, RelativePath: r.RelativePath}
		givenUp, notCompared := c.givenUp(key, r.Storage)
		return admin.Done{}, c.apply(state.Command{AcceptLoss: &state.AcceptLoss{
			Key: key, Storage: r.Storage, By: r.By, GivenUp: givenUp, NotCompared: notCompared,
		}})
	})
}

// DropJobs implements admin.Overriding.
func (c *Cluster) DropJobs(ctx context.Context, r admin.DropRequest) (admin.DropResponse, error) {
	return planned(ctx, c, "DropJobs", r.Change, r.DryRun, func() (admin.DropResponse, error) {
		answer := admin.DropResponse{}
		if c.jobsErr != nil {
			return answer, admin.Errorf(admin.NotAvailable, "%v", c.jobsErr)
		}
		var left []admin.Job
		for _, j := range c.jobs {
			if j.State != r.State || r.VirtualStorage != "" && r.VirtualStorage != j.VirtualStorage || r.RelativePath != "" && r.RelativePath != j.RelativePath {
				left = append(left, j)
				continue
			}
			answer.Dropped++
			if e := c.state.Entry(state.Key{VirtualStorage: j.VirtualStorage, RelativePath: j.RelativePath}); e != nil && len(e.Behind) > 0 && r.DryRun {
				answer.Listed++
			}
		}
		if !r.DryRun {
			c.jobs = left
		}
		return answer, nil
	})
}

// Reconcile implements admin.Overriding: a repository of which a storage is behind needs a repair.
func (c *Cluster) Reconcile(ctx context.Context, r admin.ReconcileRequest) (admin.ReconcileResponse, error) {
	return planned(ctx, c, "Reconcile", r.Change, r.DryRun, func() (admin.ReconcileResponse, error) {
		answer := admin.ReconcileResponse{}
		if c.jobsErr != nil {
			return answer, admin.Errorf(admin.NotAvailable, "%v", c.jobsErr)
		}
		c.state.Each(r.VirtualStorage, func(key state.Key, e *state.Entry) bool {
			if len(e.Behind) == 0 {
				return true
			}
			answer.Due++
			if slices.ContainsFunc(c.jobs, func(j admin.Job) bool {
				return j.VirtualStorage == key.VirtualStorage && j.RelativePath == key.RelativePath
			}) {
				return true
			}
			answer.Made++
			if !r.DryRun {
				c.jobs = append(c.jobs, admin.Job{ID: int64(len(c.jobs) + 1), VirtualStorage: key.VirtualStorage, RelativePath: key.RelativePath, Target: e.Behind[0], State: "ready"})
			}
			return true
		})
		return answer, nil
	})
}

// RetryJobs implements admin.Overriding.
func (c *Cluster) RetryJobs(ctx context.Context, r admin.RetryRequest) (admin.RetryResponse, error) {
	return once(ctx, c, "RetryJobs", r.Change, func() (admin.RetryResponse, error) {
		if c.jobsErr != nil {
			return admin.RetryResponse{}, admin.Errorf(admin.NotAvailable, "%v", c.jobsErr)
		}
		answer := admin.RetryResponse{}
		c.jobs = slices.Clone(c.jobs)
		for i := range c.jobs {
			j := &c.jobs[i]
			if (j.State == "dead" || j.State == "failed") && (r.VirtualStorage == "" || r.VirtualStorage == j.VirtualStorage) &&
				(r.RelativePath == "" || r.RelativePath == j.RelativePath) {
				j.State = "ready"
				answer.Retried++
			}
		}
		return answer, nil
	})
}

// Promote implements admin.Switching.
func (c *Cluster) Promote(ctx context.Context, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	return c.switchover(ctx, "Promote", r, progress)
}

// Drain implements admin.Switching.
func (c *Cluster) Drain(ctx context.Context, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	return c.switchover(ctx, "Drain", r, progress)
}

// took and held are how long every switchover takes.
const took, held = 1800 * time.Millisecond, 210 * time.Millisecond
