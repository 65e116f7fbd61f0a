package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

// planRetry counts the jobs that would be tried again.
func (r *run) planRetry(ctx context.Context, request admin.RetryRequest) (simplePlan, error) {
	return inTime(ctx, r, func(ctx context.Context, c *admin.Client) (simplePlan, error) {
		n, more := 0, ""
		for _, state := range []string{"failed", "dead"} {
			page, err := c.QueueList(ctx, admin.QueueListRequest{VirtualStorage: request.VirtualStorage, RelativePath: request.RelativePath, State: state})
			if err != nil {
				return simplePlan{}, err
			}
			n += len(page.Jobs)
			if page.More {
				more = " or more"
			}
		}
		return simplePlan{Does: fmt.Sprintf("failed and dead jobs that are tried again at once: %d%s", n, more)}, nil
	})
}

func (p *program) queueDrop() *cli.Command {
	return &cli.Command{
		Name:  "drop",
		Usage: "remove replication jobs that wait, failed or are dead",
		Description: "A job says that a repository may need repair; the ledger knows whether it does. So a job of\n" +
			"a repository of which a storage is still behind is made again by the next search for missing\n" +
			"jobs, with no failures counted. A job that runs is never dropped. At most 1,000 go at once.",
		Flags: planFlags(virtualStorageFlag(),
			&cli.StringFlag{Name: "repository", Usage: "only jobs of the repository with this relative `PATH`"},
			&cli.StringFlag{Name: "state", Value: "dead", Usage: "jobs in this `STATE`: dead, failed or ready"}),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.DropRequest{
				Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.cmd.String("repository"), State: r.cmd.String("state"),
			}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).DropJobs, request),
				func() (simplePlan, error) { return r.planDrop(ctx, request) },
				func(answer admin.DropResponse) error {
					if answer.AtLeast {
						answer.Note = "there may be more: repeat the command"
					}
					return r.done(answer.Done, answer, "jobs dropped: %d", answer.Dropped)
				})
		}),
	}
}

// planDrop counts the jobs that would go.
func (r *run) planDrop(ctx context.Context, request admin.DropRequest) (simplePlan, error) {
	request.DryRun = true
	planned, err := once(ctx, r, request.RequestID, call((*admin.Client).DropJobs, request))
	if err != nil {
		return simplePlan{}, err
	}
	more := ""
	if planned.AtLeast {
		more = " or more, of which 1,000 go at once"
	}
	p := simplePlan{Does: fmt.Sprintf("%s jobs that are dropped: %d%s", request.State, planned.Dropped, more)}
	if planned.Listed > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%d of them are of repositories that a storage is behind for: jobs for these are made again", planned.Listed))
	}
	return p, nil
}
