package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) raftAdd() *cli.Command {
	return &cli.Command{
		Name:      "add",
		Usage:     "let an instance join the cluster",
		ArgsUsage: "NAME HOST:PORT",
		Description: "NAME is raft.name in the instance's settings, HOST:PORT its Raft port. It joins as\n" +
			"a non-voter, and votes once it has caught up.",
		Flags: planFlags(),
		Action: p.action([]string{"NAME", "HOST:PORT"}, func(ctx context.Context, r *run) error {
			request := admin.AddRequest{Change: r.change(), Name: r.args[0], Addr: r.args[1]}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).AddInstance, request),
				func() (simplePlan, error) {
					return simplePlan{Does: fmt.Sprintf("%s at %s joins the cluster, first as a non-voter", request.Name, request.Addr)}, nil
				},
				func(done admin.Done) error { return r.done(done, done, "%s is a member of the cluster", request.Name) })
		}),
	}
}

func (p *program) raftRemove() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "take an instance out of the cluster",
		ArgsUsage: "NAME",
		Flags: planFlags(
			&cli.BoolFlag{Name: "force", Usage: "remove it though the rest may have no quorum"}),
		Action: p.action([]string{"NAME"}, func(ctx context.Context, r *run) error {
			request := admin.RemoveRequest{Change: r.change(), Name: r.args[0], Force: r.cmd.Bool("force")}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).RemoveInstance, request),
				func() (simplePlan, error) {
					return r.planMember(ctx, request.Name, "goes out of the cluster", votersWithout)
				},
				func(done admin.Done) error { return r.done(done, done, "%s is no member of the cluster", request.Name) })
		}),
	}
}

func (p *program) raftRetire() *cli.Command {
	return &cli.Command{
		Name:      "retire",
		Usage:     "say that the host of an instance is gone",
		ArgsUsage: "NAME",
		Description: "The writes that the instance left under way are in doubt from then on, and are resolved.\n" +
			"Without it that takes ten minutes of silence, unless two others find its Raft port refusing.\n" +
			"The instance stays a member: see raft remove for one that never comes back.",
		Flags: planFlags(),
		Action: p.action([]string{"NAME"}, func(ctx context.Context, r *run) error {
			request := admin.RetireRequest{Change: r.change(), Name: r.args[0]}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).RetireInstance, request),
				func() (simplePlan, error) {
					return r.planMember(ctx, request.Name, "is taken for gone", func(admin.RaftStatusResponse, admin.Instance) []string {
						return []string{"its process must not run any more"}
					})
				},
				func(done admin.Done) error { return r.done(done, done, "%s is retired", request.Name) })
		}),
	}
}

func (p *program) raftTransfer() *cli.Command {
	return &cli.Command{
		Name:        "transfer",
		Usage:       "hand over leadership to another instance",
		ArgsUsage:   "[NAME]",
		Description: "Without NAME the instance leads that is best prepared.",
		Flags:       planFlags(),
		Action: p.action([]string{"NAME?"}, func(ctx context.Context, r *run) error {
			request := admin.TransferRequest{Change: r.change(), Name: r.arg(0)}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).TransferLeadership, request),
				func() (simplePlan, error) { return r.planTransfer(ctx, request.Name) },
				func(done admin.Done) error {
					return r.done(done, done, "leadership was handed over to %s", cmp.Or(request.Name, "another instance"))
				})
		}),
	}
}

func (r *run) planTransfer(ctx context.Context, name string) (simplePlan, error) {
	if name != "" {
		return r.planMember(ctx, name, "becomes the leader", func(admin.RaftStatusResponse, admin.Instance) []string { return nil })
	}
	answer, err := r.raftNow(ctx)
	return simplePlan{Does: cmp.Or(answer.Leader, "no instance") + " leads now; the instance that is best prepared becomes the leader"}, err
}
