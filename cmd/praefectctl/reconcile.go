package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) reconcile() *cli.Command {
	return &cli.Command{
		Name:  "reconcile",
		Usage: "search for repositories that need a repair and have no job",
		Description: "The instances search by themselves every reconciliation.scheduling_interval, and when a\n" +
			"storage or Postgres returns. This command searches now. A repository whose job waits\n" +
			"after a failure, or is dead, has one: queue retry has it tried again.",
		Flags: planFlags(virtualStorageFlag()),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.ReconcileRequest{Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage")}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).Reconcile, request),
				func() (simplePlan, error) { return r.planReconcile(ctx, request) },
				func(answer admin.ReconcileResponse) error {
					return r.done(answer.Done, answer, "repositories to repair: %d; jobs made: %d", answer.Due, answer.Made)
				})
		}),
	}
}

// planReconcile counts the jobs that would be made.
func (r *run) planReconcile(ctx context.Context, request admin.ReconcileRequest) (simplePlan, error) {
	request.DryRun = true
	planned, err := once(ctx, r, request.RequestID, call((*admin.Client).Reconcile, request))
	if err != nil {
		return simplePlan{}, err
	}
	return simplePlan{Does: fmt.Sprintf("repositories to repair: %d; jobs that are made for those without one: %d", planned.Due, planned.Made)}, nil
}
