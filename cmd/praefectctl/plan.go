package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// simplePlan is the plan of a change that is one step.
type simplePlan struct {
	Schema int  `json:"schema"`
	DryRun bool `json:"dry_run"`
	// Does says in words the change that would be made, Warnings the facts that an operator should
	// know before.
	Does     string   `json:"does"`
	Warnings []string `json:"warnings"`
}

// planFlags are the flags of a change that is one step.
func planFlags(more ...cli.Flag) []cli.Flag {
	return changeFlags(append(more, yesFlag(), dryRunFlag())...)
}

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and change nothing"}
}

// inOneStep shows the plan of a change and asks. Once it is agreed on, the change is carried out,
// and say tells how it ended.
func inOneStep[Answer any](ctx context.Context, r *run, id string, change func(context.Context, *admin.Client) (Answer, error),
	plan func() (simplePlan, error), say func(Answer) error,
) error {
	if goOn, err := r.agreed(ctx, plan); err != nil || !goOn {
		return err
	}
	answer, err := once(ctx, r, id, change)
	if err != nil {
		return err
	}
	return say(answer)
}

// agreed shows a plan and asks, where a person can be asked. With -dry-run it shows the plan as the
// answer, and the command ends without a change. A script asks for no plan: nothing looks at it.
func (r *run) agreed(ctx context.Context, plan func() (simplePlan, error)) (goOn bool, err error) {
	dry := r.cmd.Bool("dry-run")
	if !dry && (!r.interactive || r.cmd.Bool("yes")) {
		return true, nil
	}
	planned, err := plan()
	if err != nil {
		return false, err
	}
	planned.Schema, planned.DryRun = admin.Schema, dry
	if planned.Warnings == nil {
		planned.Warnings = []string{}
	}
	if dry {
		return false, r.answer(planned, func(out *output) {
			showSimple(out, planned)
			out.printf("  dry run: nothing was changed\n")
		})
	}
	showSimple(r.aside(), planned)
	return true, r.proceed(ctx)
}

func showSimple(out *output, p simplePlan) {
	out.printf("%s\n", p.Does)
	for _, w := range p.Warnings {
		out.printf("  %s %s\n", out.mark(warning), w)
	}
}

// statusNow asks for the status. It prefers an answer of an instance that knows a leader.
func (r *run) statusNow(ctx context.Context, virtualStorage string) (admin.StatusResponse, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	led := func(a admin.StatusResponse) bool { return !a.OwnView }
	return askFor(ctx, r.to, led, func(ctx context.Context, _ string, c *admin.Client) (admin.StatusResponse, error) {
		return c.Status(ctx, admin.StatusRequest{VirtualStorage: virtualStorage})
	})
}

// raftNow asks how the instances are. It prefers an answer of one that knows a leader.
func (r *run) raftNow(ctx context.Context) (admin.RaftStatusResponse, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	led := func(a admin.RaftStatusResponse) bool { return a.Leader != "" && !a.OwnView }
	return askFor(ctx, r.to, led, func(ctx context.Context, _ string, c *admin.Client) (admin.RaftStatusResponse, error) {
		return c.RaftStatus(ctx)
	})
}

// storageIn finds a storage by name, in one virtual storage or in any.
func storageIn(s admin.StatusResponse, name string) (vs admin.VirtualStorage, st admin.Storage, found bool) {
	for _, vs := range s.VirtualStorages {
		for _, st := range vs.Storages {
			if st.Name == name {
				return vs, st, true
			}
		}
	}
	return vs, st, false
}

func (r *run) planUndrain(ctx context.Context, request admin.UndrainRequest) (simplePlan, error) {
	s, err := r.statusNow(ctx, request.VirtualStorage)
	if err != nil {
		return simplePlan{}, err
	}
	vs, st, found := storageIn(s, request.Storage)
	switch {
	case !found:
		return simplePlan{}, coded{exitError, fmt.Errorf("no virtual storage has a storage %q; praefectctl status lists them", request.Storage)}
	case st.State != state.Out:
		return simplePlan{Does: fmt.Sprintf("%s of %s is %s: nothing is to be done", st.Name, vs.Name, storageState(st))}, nil
	}
	p := simplePlan{Does: fmt.Sprintf("%s of %s, which is %s, may return; repositories to repair on it: %d", st.Name, vs.Name, storageState(st), st.Behind)}
	if !st.Reachable {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s is not reachable now: it returns once it is", st.Name))
	}
	return p, nil
}

func (r *run) planPause(ctx context.Context, virtualStorage, does string) (simplePlan, error) {
	s, err := r.statusNow(ctx, virtualStorage)
	if err != nil {
		return simplePlan{}, err
	}
	p := simplePlan{}
	var names []string
	for _, vs := range s.VirtualStorages {
		names = append(names, vs.Name)
		if vs.Paused {
			p.Warnings = append(p.Warnings, "automatic failover of "+vs.Name+" is paused now")
		}
	}
	p.Does = fmt.Sprintf("automatic failover of %s %s", strings.Join(names, ", "), does)
	return p, nil
}

// planMember plans a change of one instance.
func (r *run) planMember(ctx context.Context, name, does string, left func(admin.RaftStatusResponse, admin.Instance) []string) (simplePlan, error) {
	answer, err := r.raftNow(ctx)
	if err != nil {
		return simplePlan{}, err
	}
	for _, i := range answer.Instances {
		if i.Name == name || i.ID == name {
			voter := "no voter"
			if i.Voter {
				voter = "voter"
			}
			return simplePlan{Does: fmt.Sprintf("%s (%s, %s) %s", i.Name, i.State, voter, does), Warnings: left(answer, i)}, nil
		}
	}
	return simplePlan{}, coded{exitError, fmt.Errorf("no instance %q; praefectctl raft peers lists them", name)}
}

// votersWithout says how many voters are left without an instance, and the consequence.
func votersWithout(answer admin.RaftStatusResponse, gone admin.Instance) []string {
	voters, alive := 0, 0
	for _, i := range answer.Instances {
		if !i.Voter || i.Name == gone.Name {
			continue
		}
		voters++
		if i.State != admin.Unreachable {
			alive++
		}
	}
	if majority := voters/2 + 1; alive <= majority {
		return []string{fmt.Sprintf("%d of %d voters are left, and %d answer: none of them may fail then", voters, voters+1, alive)}
	}
	return nil
}
