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
		Flags: []cli.Flag{
			virtualStorageFlag(),
			&cli.StringFlag{Name: "state", Usage: "only jobs in this `STATE`: ready, in_progress, failed or dead"},
			&cli.IntFlag{Name: "limit", Value: 1000, Usage: "at most this `NUMBER` of jobs; 0 is all"},
		},
		Action: p.queryAction(func(cmd *cli.Command) query {
			return func(ctx context.Context, e endpoints, out *output) error {
				if cmd.Int("limit") < 0 {
					return usage("-limit is %d: want 0 or more", cmd.Int("limit"))
				}
				request := admin.QueueListRequest{VirtualStorage: cmd.String("virtual-storage"), State: cmd.String("state")}
				answer, err := ask(ctx, e, func(ctx context.Context, c *admin.Client) (admin.QueueListResponse, error) {
					return queueUpTo(ctx, c, request, cmd.Int("limit"))
				})
				if err != nil {
					return err
				}
				if out.json {
					return out.document(answer)
				}
				showQueue(out, answer)
				return nil
			}
		}),
	}
}

// queueUpTo collects pages into one answer of at most limit jobs; 0 is all.
func queueUpTo(ctx context.Context, c *admin.Client, request admin.QueueListRequest, limit int) (admin.QueueListResponse, error) {
	all := admin.QueueListResponse{Schema: admin.Schema, Jobs: []admin.Job{}}
	for {
		if limit > 0 {
			request.Limit = limit - len(all.Jobs)
		}
		page, err := c.QueueList(ctx, request)
		if err != nil {
			return admin.QueueListResponse{}, err
		}
		all.Jobs = append(all.Jobs, page.Jobs...)
		all.More = page.More
		if !page.More || len(page.Jobs) == 0 || len(all.Jobs) == limit {
			return all, nil
		}
		request.After = page.Jobs[len(page.Jobs)-1].ID
	}
}

func showQueue(out *output, answer admin.QueueListResponse) {
	if len(answer.Jobs) == 0 {
		out.printf("%s no jobs\n", out.mark(good))
		return
	}
	rows := make([][]string, 0, len(answer.Jobs))
	for _, j := range answer.Jobs {
		due := ""
		if j.State == "ready" || j.State == "failed" {
			due = j.NotBefore.UTC().Format(time.RFC3339)
		}
		rows = append(rows, []string{
			out.mark(jobSign(j.State)), strconv.FormatInt(j.ID, 10), j.VirtualStorage, j.RelativePath, j.Target,
			j.State, strconv.Itoa(j.Attempt), due, j.Error,
		})
	}
	out.table([]string{"", "ID", "VIRTUAL STORAGE", "REPOSITORY", "TARGET", "STATE", "ATTEMPT", "DUE", "ERROR"}, rows)
	out.printf("\njobs: %d", len(answer.Jobs))
	if answer.More {
		out.printf("; there may be more, see -limit")
	}
	out.printf("\n")
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
