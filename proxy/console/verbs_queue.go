package console

import (
	"context"
	"fmt"

	"praefect/proxy/admin"
)

func retry() verb {
	return verb{
		needs: always,
		propose: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change) (proposal, error) {
			n, more := 0, ""
			for _, state := range []string{"failed", "dead"} {
				jobs, err := c.QueueList(ctx, admin.QueueListRequest{VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath, State: state})
				if err != nil {
					return proposal{}, err
				}
				n += len(jobs.Jobs)
				if jobs.More {
					more = " or more"
				}
			}
			return proposal{Title: fmt.Sprintf("Failed and dead jobs that are tried again at once: %d%s", n, more), Already: n == 0}, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.RetryJobs(ctx, admin.RetryRequest{Change: change, VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath})
			return result{Text: fmt.Sprintf("jobs made ready: %d", a.Retried), Note: a.Note}, err
		},
	}
}

// drop removes dead jobs; praefectctl also removes jobs in another state.
func drop() verb {
	request := func(o changeRequest, change admin.Change) admin.DropRequest {
		return admin.DropRequest{Change: change, VirtualStorage: o.VirtualStorage, RelativePath: o.RelativePath, State: "dead"}
	}
	return verb{
		needs: always,
		propose: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change) (proposal, error) {
			r := request(o, change)
			r.DryRun = true
			planned, err := c.DropJobs(ctx, r)
			if err != nil {
				return proposal{}, err
			}
			more := ""
			if planned.AtLeast {
				more = " or more, of which 1,000 go at once"
			}
			p := proposal{Title: fmt.Sprintf("Dead jobs that are dropped: %d%s", planned.Dropped, more), Already: planned.Dropped == 0}
			if planned.Listed > 0 {
				p.Lines = []line{{"warning", fmt.Sprintf("%d of them are of repositories that a storage is behind for: jobs for these are made again", planned.Listed)}}
			}
			return p, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.DropJobs(ctx, request(o, change))
			r := result{Text: fmt.Sprintf("jobs dropped: %d", a.Dropped), Note: a.Note}
			if a.AtLeast {
				r.Note = "there may be more: do it again"
			}
			return r, err
		},
	}
}
