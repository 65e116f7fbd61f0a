package main

import (
	"cmp"
	"context"

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
		Flags: changeFlags(),
		Action: p.action([]string{"NAME", "HOST:PORT"}, func(ctx context.Context, r *run) error {
			request := admin.AddRequest{Change: r.change(), Name: r.args[0], Addr: r.args[1]}
			done, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.Done, error) {
				return c.AddInstance(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(done, done, "%s is a member of the cluster", request.Name)
		}),
	}
}

func (p *program) raftRemove() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "take an instance out of the cluster",
		ArgsUsage: "NAME",
		Flags: changeFlags(yesFlag(),
			&cli.BoolFlag{Name: "force", Usage: "remove it though the rest may have no quorum"}),
		Action: p.action([]string{"NAME"}, func(ctx context.Context, r *run) error {
			request := admin.RemoveRequest{Change: r.change(), Name: r.args[0], Force: r.cmd.Bool("force")}
			if r.interactive {
				(&output{w: r.stderr}).printf("%s goes out of the cluster. ", request.Name)
			}
			if err := r.proceed(ctx); err != nil {
				return err
			}
			done, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.Done, error) {
				return c.RemoveInstance(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(done, done, "%s is no member of the cluster", request.Name)
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
		Flags: changeFlags(yesFlag()),
		Action: p.action([]string{"NAME"}, func(ctx context.Context, r *run) error {
			request := admin.RetireRequest{Change: r.change(), Name: r.args[0]}
			if r.interactive {
				(&output{w: r.stderr}).printf("%s is taken for gone: its process must not run any more. ", request.Name)
			}
			if err := r.proceed(ctx); err != nil {
				return err
			}
			done, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.Done, error) {
				return c.RetireInstance(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(done, done, "%s is retired", request.Name)
		}),
	}
}

func (p *program) raftTransfer() *cli.Command {
	return &cli.Command{
		Name:        "transfer",
		Usage:       "hand over leadership to another instance",
		ArgsUsage:   "[NAME]",
		Description: "Without NAME the instance leads that is best prepared.",
		Flags:       changeFlags(),
		Action: p.action([]string{"NAME?"}, func(ctx context.Context, r *run) error {
			request := admin.TransferRequest{Change: r.change(), Name: r.arg(0)}
			done, err := once(ctx, r, request.RequestID, func(ctx context.Context, c *admin.Client) (admin.Done, error) {
				return c.TransferLeadership(ctx, request)
			})
			if err != nil {
				return err
			}
			return r.done(done, done, "leadership was handed over to %s", cmp.Or(request.Name, "another instance"))
		}),
	}
}
