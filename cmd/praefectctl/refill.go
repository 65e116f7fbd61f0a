package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) refill() *cli.Command {
	return &cli.Command{
		Name:      "refill",
		Usage:     "copy everything onto a storage that was restored from a backup",
		ArgsUsage: "STORAGE",
		Description: "The storage must be out of use: drain it before its content is replaced. Its repositories are\n" +
			"compared with those of the storages that serve, what it misses is copied, and then it serves.\n" +
			"It is refused where the storage alone has a repository.",
		Flags: removalFlags(&cli.StringFlag{Name: "virtual-storage", Usage: "the virtual storage's `NAME`, if more than one has such a storage"}),
		Action: p.action([]string{"STORAGE"}, func(ctx context.Context, r *run) error {
			request := admin.RefillRequest{Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), Storage: r.args[0]}
			return r.refill(ctx, request)
		}),
	}
}

// refill shows the plan, asks, and has it carried out.
func (r *run) refill(ctx context.Context, request admin.RefillRequest) error {
	plan := request
	plan.DryRun = true
	planned, err := once(ctx, r, request.RequestID, call((*admin.Client).Refill, plan))
	if err != nil {
		return err
	}
	if r.cmd.Bool("dry-run") {
		return r.answer(planned, func(out *output) { showRefill(out, planned) })
	}
	showRefill(r.aside(), planned)
	if err := r.confirmName(ctx, "storage", planned.Storage); err != nil {
		return err
	}
	request.VirtualStorage = planned.VirtualStorage
	done, err := once(ctx, r, request.RequestID, call((*admin.Client).Refill, request))
	if err != nil {
		return err
	}
	return r.done(done.Done, done, "%s of %s is backfilled", planned.Storage, planned.VirtualStorage)
}

func showRefill(out *output, p admin.RefillResponse) {
	out.printf("%s (%s) of %s is backfilled from %s; known to be behind: %d\n", p.Storage, p.State, p.VirtualStorage, strings.Join(p.Sources, ", "), p.Behind)
	out.printf("  each repository is compared first; where each side has what the other lacks, nothing is copied, and dataloss lists it\n")
}
