package console

import (
	"context"
	"fmt"

	"praefect/proxy/admin"
)

func reconcile() verb {
	return verb{
		needs: always,
		propose: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change) (proposal, error) {
			planned, err := c.Reconcile(ctx, admin.ReconcileRequest{Change: change, VirtualStorage: o.VirtualStorage, DryRun: true})
			if err != nil {
				return proposal{}, err
			}
			p := proposal{Title: fmt.Sprintf("Jobs that are made for repositories without one: %d", planned.Made), Already: planned.Made == 0, Lines: []line{
				{Text: fmt.Sprintf("repositories to repair now: %d", planned.Due)},
			}}
			if planned.Made < planned.Due {
				p.Lines = append(p.Lines, line{Text: "the others have a job: the queue shows when it is due, and retries failed and dead ones"})
			}
			return p, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, change admin.Change, _ func(admin.Progress)) (result, error) {
			a, err := c.Reconcile(ctx, admin.ReconcileRequest{Change: change, VirtualStorage: o.VirtualStorage})
			return result{Text: fmt.Sprintf("jobs made: %d", a.Made), Note: a.Note}, err
		},
	}
}

// verifyAll asks for the verification of every repository, and does not wait for its end.
func verifyAll() verb {
	// each asks for one virtual storage after the other, and returns how many repositories they have.
	each := func(ctx context.Context, c Cluster, o changeRequest, dry bool) (names []string, counts []int64, err error) {
		status, err := c.Status(ctx, admin.StatusRequest{VirtualStorage: o.VirtualStorage})
		if err != nil {
			return nil, nil, err
		}
		for _, vs := range status.VirtualStorages {
			a, err := c.RequestVerification(ctx, admin.RequestVerificationRequest{VirtualStorage: vs.Name, DryRun: dry})
			if err != nil {
				return nil, nil, err
			}
			names, counts = append(names, vs.Name), append(counts, a.Repositories)
		}
		return names, counts, nil
	}
	return verb{
		needs: always,
		propose: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change) (proposal, error) {
			names, counts, err := each(ctx, c, o, true)
			if err != nil {
				return proposal{}, err
			}
			p := proposal{Title: "Compare the replicas of every repository", Already: true}
			for i, name := range names {
				p.Already = p.Already && counts[i] == 0
				p.Lines = append(p.Lines, line{Text: fmt.Sprintf("%s: repositories to compare on all storages: %d", name, counts[i])})
			}
			p.Lines = append(p.Lines, line{Text: "One at a time, before all others; repairs go first. Nothing is changed, unless a replica differs: then it is repaired from the primary."})
			return p, nil
		},
		carryOut: func(ctx context.Context, c Cluster, o changeRequest, _ admin.Change, _ func(admin.Progress)) (result, error) {
			_, counts, err := each(ctx, c, o, false)
			var all int64
			for _, n := range counts {
				all += n
			}
			return result{Text: fmt.Sprintf("repositories that are compared: %d", all), Note: "the leader compares them in the background; what differs is in the history, and is a condition until it is repaired"}, err
		},
	}
}
