package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/workload"
)

// Ask asks one instance after the other until one answers or ctx ends.
func Ask[T any](ctx context.Context, c *cluster.Cluster, question func(context.Context, *admin.Client) (T, error)) (answer T, err error) {
	for {
		for _, i := range c.Instances {
			if answer, err = question(ctx, i.Admin()); err == nil {
				return answer, nil
			}
		}
		if ended := workload.Pass(ctx, time.Second); ended != nil {
			return answer, fmt.Errorf("no instance answers: %w", errors.Join(err, ended))
		}
	}
}

// Term is the present term of Raft.
func Term(ctx context.Context, c *cluster.Cluster) (uint64, error) {
	answer, err := Ask(ctx, c, func(ctx context.Context, to *admin.Client) (admin.RaftStatusResponse, error) {
		return to.RaftStatus(ctx)
	})
	return answer.Term, err
}

// Fences is how often a storage of a virtual storage was fenced, as far as the history goes back.
func Fences(ctx context.Context, c *cluster.Cluster, virtualStorage string) (n int, err error) {
	answer, err := Ask(ctx, c, func(ctx context.Context, to *admin.Client) (admin.HistoryResponse, error) {
		return to.History(ctx, admin.HistoryRequest{VirtualStorage: virtualStorage})
	})
	for _, change := range answer.Changes {
		if change.Change == string(state.Fenced) {
			n++
		}
	}
	return n, err
}

// Others are all instances but one.
func Others(c *cluster.Cluster, one *cluster.Instance) (others []*cluster.Instance) {
	for _, i := range c.Instances {
		if i != one {
			others = append(others, i)
		}
	}
	return others
}

// Labels are the labels of instances.
func Labels(instances []*cluster.Instance) (labels []string) {
	for _, i := range instances {
		labels = append(labels, i.Label())
	}
	return labels
}
