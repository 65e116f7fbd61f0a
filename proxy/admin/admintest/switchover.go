package admintest

import (
	"context"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// switchover goes through all stages; it changes the state at StageFence
// and StageAdmit, and until the former it heeds the end of ctx.
func (c *Cluster) switchover(ctx context.Context, method string, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	c.mu.Lock()
	c.asked, c.switches = append(c.asked, r.Change), append(c.switches, r)
	answer, answered := c.answers[r.RequestID].(admin.SwitchResponse)
	led := c.raft.Leader != ""
	plan, err := c.plan(method, r)
	c.mu.Unlock()
	switch {
	case answered && !r.DryRun:
		return answer, nil
	case !led:
		return answer, admin.Errorf(admin.NoLeader, "nobody leads")
	case err != nil:
		return answer, err
	}
	answer = admin.SwitchResponse{Plan: plan, DryRun: r.DryRun, Epoch: plan.Epoch, Primary: plan.Primary}
	if answer.Already = plan.Already; plan.Already || r.DryRun {
		return answer, nil
	}
	for _, stage := range []admin.Stage{
		admin.StagePlan, admin.StageCatchUp, admin.StagePauseWrites, admin.StageFence, admin.StageAdmit, admin.StageResumeWrites,
	} {
		apply, failed := c.at(ctx, method, stage)
		if !apply {
			return admin.SwitchResponse{}, failed
		}
		if ctx.Err() != nil && !stage.CutOver() {
			return admin.SwitchResponse{}, admin.Errorf(admin.Canceled, "given up before the cut-over")
		}
		p := admin.Progress{Stage: stage}
		switch stage {
		case admin.StagePlan:
			p.Plan = &plan
		case admin.StageCatchUp:
			p.Behind = plan.Behind
		case admin.StagePauseWrites:
			p.InFlight = plan.InFlight
		case admin.StageFence:
			p.Waiting = []string{"praefect-3"}
		}
		if err := c.cutOver(method, stage, r, plan); err != nil {
			return admin.SwitchResponse{}, err
		}
		progress(p)
		if failed != nil {
			return admin.SwitchResponse{}, failed
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	vs := c.state.VirtualStorage(r.VirtualStorage)
	primary, _ := vs.Primary(nil)
	answer.Epoch, answer.Primary = vs.Epoch, primary.Name
	answer.TookMillis, answer.PausedMillis = took.Milliseconds(), held.Milliseconds()
	c.answers[r.RequestID] = answer
	return answer, nil
}

// plan needs mu.
func (c *Cluster) plan(method string, r admin.SwitchRequest) (admin.Plan, error) {
	vs := c.state.VirtualStorage(r.VirtualStorage)
	if r.Epoch != 0 && r.Epoch != vs.Epoch {
		return admin.Plan{}, admin.Errorf(admin.Refused, "%s is at epoch %d by now, not %d: look again", vs.Name, vs.Epoch, r.Epoch)
	}
	st := vs.Storage(r.Storage)
	primary, _ := vs.Primary(nil)
	plan := admin.Plan{VirtualStorage: vs.Name, Epoch: vs.Epoch, Primary: primary.Name, Successor: primary.Name, Fenced: []string{}, PauseMillis: 8000, InFlight: 3}
	if method == "Promote" {
		if st.State != state.Serving {
			return plan, admin.Errorf(admin.Refused, "%s is %s: only a storage that serves can be promoted", st.Name, st.State)
		}
		for _, other := range vs.Succession {
			if other.Name == st.Name {
				break
			}
			if other.State == state.Serving {
				plan.Fenced = append(plan.Fenced, other.Name)
			}
		}
		plan.Successor, plan.Already = st.Name, len(plan.Fenced) == 0
	} else {
		plan.Already = st.Why == state.WhyDrained
		if !plan.Already {
			plan.Fenced = []string{st.Name}
		}
		for _, other := range vs.Succession {
			if other.Name != st.Name && other.State == state.Serving {
				plan.Successor = other.Name
				break
			}
		}
	}
	plan.Copies = 2
	for _, other := range vs.Succession {
		if other.State == state.Serving && (method == "Promote" || other.Name != st.Name) {
			plan.Serving++
		}
	}
	c.state.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
		if e.HasLive() && e.IsBehind(plan.Successor) {
			plan.Busy++
		}
		if e.HasDoubt() {
			plan.InDoubt++
		}
		if e.IsBehind(plan.Successor) {
			plan.Behind++
		}
		return true
	})
	return plan, nil
}

// cutOver makes the change of a stage.
func (c *Cluster) cutOver(method string, stage admin.Stage, r admin.SwitchRequest, plan admin.Plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	vs := c.state.VirtualStorage(plan.VirtualStorage)
	why, as := state.WhySwitchover, state.Serving
	if method == "Drain" {
		why, as = state.WhyDrained, state.Out
	}
	switch stage {
	case admin.StageFence:
		return c.apply(state.Command{Fence: &state.Fence{VirtualStorage: vs.Name, Storages: plan.Fenced, Why: why, Epoch: vs.Epoch, By: r.By}})
	case admin.StageAdmit:
		admit := &state.Admit{VirtualStorage: vs.Name, Epoch: vs.Epoch, By: r.By}
		for _, name := range plan.Fenced {
			admission := state.Admission{Storage: name, As: as}
			if as == state.Out {
				admission.Why = why
			} else {
				admission.FilesystemID = vs.Storage(name).FilesystemID
			}
			admit.Storages = append(admit.Storages, admission)
		}
		return c.apply(state.Command{Admit: admit})
	}
	return nil
}
