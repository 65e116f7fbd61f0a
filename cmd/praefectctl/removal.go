package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func removalFlags(more ...cli.Flag) []cli.Flag {
	return changeFlags(append(more,
		&cli.StringFlag{Name: "confirm", Usage: "the `NAME` once more; -yes is not enough"},
		dryRunFlag(), yesFlag())...)
}

func (p *program) storageRemove() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "take a storage out of a virtual storage",
		ArgsUsage: "STORAGE",
		Description: "First take it out of the settings of every instance. It is refused where the last replica of\n" +
			"a repository would be lost. The repositories on the storage itself stay where they are.",
		Flags: removalFlags(&cli.StringFlag{Name: "virtual-storage", Usage: "the virtual storage's `NAME`, if more than one has such a storage"}),
		Action: p.action([]string{"STORAGE"}, func(ctx context.Context, r *run) error {
			return r.remove(ctx, admin.RemovalRequest{Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), Storage: r.args[0]})
		}),
	}
}

func (p *program) virtualStorageRemove() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Usage:     "have the cluster forget a virtual storage, such as one whose name was mistyped",
		ArgsUsage: "VIRTUAL-STORAGE",
		Description: "First take it out of the settings of every instance. It is refused while the ledger lists any of\n" +
			"its repositories. The repositories on its storages stay where they are.",
		Flags: removalFlags(),
		Action: p.action([]string{"VIRTUAL-STORAGE"}, func(ctx context.Context, r *run) error {
			return r.remove(ctx, admin.RemovalRequest{Change: r.change(), VirtualStorage: r.args[0]})
		}),
	}
}

// remove shows the plan of a removal, asks, and has it carried out.
func (r *run) remove(ctx context.Context, request admin.RemovalRequest) error {
	plan := request
	plan.DryRun = true
	planned, err := once(ctx, r, request.RequestID, call((*admin.Client).Remove, plan))
	if err != nil {
		return err
	}
	if r.cmd.Bool("dry-run") {
		return r.answer(planned, func(out *output) { showRemoval(out, planned) })
	}
	showRemoval(r.aside(), planned)
	name, what := planned.Storage, "storage"
	if name == "" {
		name, what = planned.VirtualStorage, "virtual storage"
	}
	if err := r.confirmName(ctx, what, name); err != nil {
		return err
	}
	request.VirtualStorage = planned.VirtualStorage
	done, err := once(ctx, r, request.RequestID, call((*admin.Client).Remove, request))
	if err != nil {
		return err
	}
	if request.Storage == "" {
		return r.done(done.Done, done, "virtual storage %s was removed", name)
	}
	return r.done(done.Done, done, "%s was removed from %s", name, planned.VirtualStorage)
}

func showRemoval(out *output, p admin.RemovalResponse) {
	if p.Storage == "" {
		out.printf("virtual storage %s goes, with every storage of it; requests for it fail then\n", p.VirtualStorage)
	} else {
		out.printf("%s (%s) goes from %s; left are %s\n", p.Storage, p.State, p.VirtualStorage, strings.Join(p.Left, ", "))
	}
	out.printf("  what lies on the storages is not touched\n")
}

// confirmName asks for a name once more.
func (r *run) confirmName(ctx context.Context, what, name string) error {
	if !r.cmd.IsSet("confirm") {
		r.aside().printf("This concerns the %s %s. ", what, name)
	}
	return r.confirm(ctx, name)
}
