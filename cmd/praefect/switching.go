package main

import (
	"context"
	"errors"
	"time"

	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/consensus/session"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// switching moves roles between storages. The leader does it.
type switching struct {
	node    *consensus.Node
	session *session.Session
	way     way
	copies  int // by the settings
}

// Promote implements admin.Switching.
func (s switching) Promote(ctx context.Context, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	return atLeader(s.way,
		func() (admin.SwitchResponse, error) { return s.here(ctx, elector.Promote, r, progress) },
		func(c *admin.Client) (admin.SwitchResponse, error) { return c.Promote(ctx, r, progress) })
}

// Drain implements admin.Switching.
func (s switching) Drain(ctx context.Context, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	return atLeader(s.way,
		func() (admin.SwitchResponse, error) { return s.here(ctx, elector.Drain, r, progress) },
		func(c *admin.Client) (admin.SwitchResponse, error) { return c.Drain(ctx, r, progress) })
}

func (s switching) here(ctx context.Context, verb elector.Verb, r admin.SwitchRequest, progress func(admin.Progress)) (admin.SwitchResponse, error) {
	request := elector.Request{
		ID: r.RequestID, Verb: verb, VirtualStorage: r.VirtualStorage, Storage: r.Storage,
		Epoch: r.Epoch, Force: r.Force, CatchUpFor: r.Timeout(), By: r.By,
	}
	if r.DryRun {
		plan, err := s.session.Plan(request)
		if err != nil {
			return admin.SwitchResponse{}, switchError(err)
		}
		response := admin.SwitchResponse{DryRun: true, Plan: s.plan(r, plan), Epoch: plan.Epoch, Primary: plan.Primary}
		response.Already = plan.Already
		return response, nil
	}
	began := time.Now()
	planned := false
	outcome, err := s.session.Switch(ctx, request, func(plan session.Plan, p elector.Progress) {
		told := admin.Progress{Stage: stage(p.Phase), Behind: p.Behind, InFlight: p.InFlight, Waiting: s.names(p.Waiting)}
		if !planned {
			planned = true
			first := s.plan(r, plan)
			told.Plan = &first
		}
		progress(told)
	})
	if err != nil {
		return admin.SwitchResponse{}, switchError(err)
	}
	response := admin.SwitchResponse{
		Plan: s.plan(r, outcome.Plan), Epoch: outcome.Epoch, Primary: outcome.Primary,
		TookMillis: time.Since(began).Milliseconds(), PausedMillis: outcome.Paused.Milliseconds(),
	}
	response.Already = outcome.Plan.Already
	return response, nil
}

// plan is a plan in the terms of operators.
func (s switching) plan(r admin.SwitchRequest, p session.Plan) admin.Plan {
	plan := admin.Plan{
		VirtualStorage: r.VirtualStorage, Epoch: p.Epoch, Primary: p.Primary, Successor: p.Successor,
		Fenced: p.Fenced, Already: p.Already, Behind: p.Behind, Busy: p.Busy, InDoubt: p.InDoubt,
		Serving: p.Serving, Copies: s.copies, PauseMillis: p.WritePause.Milliseconds(),
	}
	for _, a := range s.session.Alarms() {
		plan.Warnings = append(plan.Warnings, a.Text)
	}
	if plan.Fenced == nil {
		plan.Fenced = []string{}
	}
	plan.Unavailable = s.node.View().Unavailable(r.VirtualStorage)
	return plan
}

func (s switching) names(incarnations []state.Incarnation) []string {
	var names []string
	for _, inc := range incarnations {
		if in := s.node.View().Instance(inc); in != nil {
			names = append(names, in.Name)
		}
	}
	return names
}

func stage(p elector.Phase) admin.Stage {
	switch p {
	case elector.CatchUp:
		return admin.StageCatchUp
	case elector.PauseWrites:
		return admin.StagePauseWrites
	case elector.CutOver:
		return admin.StageFence
	case elector.AwaitAdmit:
		return admin.StageAdmit
	}
	return admin.StageResumeWrites
}

// switchError puts an error of a switchover into the terms of an operator.
func switchError(err error) error {
	switch {
	case errors.Is(err, session.ErrNotLeading):
		return admin.Errorf(admin.NoLeader, "%v: ask again (%s)", err, nextStep)
	case errors.Is(err, session.ErrCanceled):
		return admin.Errorf(admin.Canceled, "%v: nothing was changed", err)
	case errors.Is(err, session.ErrSwitchoverRunning), errors.Is(err, elector.ErrRefused):
		return admin.Errorf(admin.Refused, "%v", err)
	case errors.Is(err, elector.ErrTimeout):
		return admin.Errorf(admin.TimedOut, "%v: nothing was changed", err)
	}
	return admin.Errorf(admin.OutcomeUnknown, "%v; praefectctl status and praefectctl history tell", err)
}
