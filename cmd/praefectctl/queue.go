package main

import (
	"context"
	"strconv"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

func (p *program) queueList() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the replication jobs, oldest first",
		Flags: watchFlags(
			virtualStorageFlag(),
			&cli.StringFlag{Name: "repository", Usage: "only jobs of the repository with this relative `PATH`"},
			&cli.StringFlag{Name: "state", Usage: "only jobs in this `STATE`: ready, in_progress, failed or dead"},
			&cli.IntFlag{Name: "limit", Value: 1000, Usage: "at most this `NUMBER` of jobs; 0 is all"},
		),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			limit := r.cmd.Int("limit")
			if limit < 0 {
				return usage("-limit is %d: want 0 or more", limit)
			}
			request := admin.QueueListRequest{VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.cmd.String("repository"), State: r.cmd.String("state")}
			answer, err := inTime(ctx, r, func(ctx context.Context, c *admin.Client) (admin.QueueListResponse, error) {
				return queueUpTo(ctx, c, request, limit)
			})
			if err != nil {
				return err
			}
			return r.answer(answer, func(out *output) { showQueue(out, answer) })
		}),
	}
}

func (p *program) queueRetry() *cli.Command {
	return &cli.Command{
		Name:  "retry",
		Usage: "try dead and failed replication jobs again at once",
		Flags: planFlags(virtualStorageFlag(),
			&cli.StringFlag{Name: "repository", Usage: "only jobs of the repository with this relative `PATH`"}),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.RetryRequest{
				Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.cmd.String("repository"),
			}
			return inOneStep(ctx, r, request.RequestID, call((*admin.Client).RetryJobs, request),
				func() (simplePlan, error) { return r.planRetry(ctx, request) },
				func(answer admin.RetryResponse) error {
					return r.done(answer.Done, answer, "jobs made ready: %d", answer.Retried)
				})
		}),
	}
}

// queueUpTo collects pages into one answer of at most limit jobs; 0 is all.
func queueUpTo(ctx context.Context, c *admin.Client, request admin.QueueListRequest, limit int) (admin.QueueListResponse, error) {
	var all admin.QueueListResponse
	jobs, err := inPages(limit, func(most int, last *admin.Job) (page []admin.Job, more bool, err error) {
		request.Limit = most
		if last != nil {
			request.After = last.ID
		}
		all, err = c.QueueList(ctx, request)
		return all.Jobs, all.More, err
	})
	all.Jobs = jobs
	return all, err
}

func showQueue(out *output, answer admin.QueueListResponse) {
	if len(answer.Jobs) == 0 {
		out.printf("%s no jobs\n", out.mark(good))
		return
	}
	out.table(jobHeader, jobRows(out, answer.Jobs))
	out.printf("\njobs: %d", len(answer.Jobs))
	if answer.More {
		out.printf("; there may be more, see -limit")
	}
	out.printf("\n")
}

// jobHeader is the header of the rows of jobRows.
var jobHeader = []string{"", "ID", "VIRTUAL STORAGE", "REPOSITORY", "TARGET", "STATE", "ATTEMPT", "DUE", "WAITS FOR", "+REASON", "+CREATED", "ERROR"}

func jobRows(out *output, jobs []admin.Job) [][]string {
	return each(jobs, func(j admin.Job) []string {
		due := ""
		if j.State == "ready" || j.State == "failed" {
			due = j.NotBefore.UTC().Format(time.RFC3339)
		}
		return []string{
			out.mark(jobSign(j.State)), strconv.FormatInt(j.ID, 10), j.VirtualStorage, j.RelativePath, j.Target,
			j.State, strconv.Itoa(j.Attempt), due, j.WaitsFor.String(),
			j.Reason, timeText(&j.Created), j.Error,
		}
	})
}

func jobSign(state string) sign {
	switch state {
	case "in_progress":
		return busy
	case "failed":
		return warning
	case "dead":
		return bad
	}
	return good
}
