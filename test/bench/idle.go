package main

import (
	"context"
	"fmt"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

const (
	// idleFor is how long instances are left alone, in idleRuns pieces of equal length.
	idleFor  = time.Minute
	idleRuns = 3
	// idleCalm is how long they are left alone before, so that the work that their start has left
	// is done.
	idleCalm = 10 * time.Second
)

// idleSettings are the usual ones: tuning would search for repairs each second.
const idleSettings = `
[logging]
level = "warn"
`

// idle measures the processor time that three instances take of which no client wants anything, in
// percent of a core: of the leader, and of the follower that takes more. The storages are processes
// of test-gitaly.
func idle(ctx context.Context, binaries cluster.Binaries, _ settings) (figures, error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries: binaries, Instances: 3, Settings: idleSettings,
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered("default", 3)},
	})
	if err != nil {
		return nil, err
	}
	defer stopCluster(ctx, c)
	if err := settle(ctx, c); err != nil {
		return nil, err
	}
	if err := workload.Pass(ctx, idleCalm); err != nil {
		return nil, err
	}
	var leaders, followers []float64
	for range idleRuns {
		leader, err := c.Leader(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask for the leader: %w", err)
		}
		shares, err := sharesOfACore(ctx, c, idleFor/idleRuns)
		if err != nil {
			return nil, err
		}
		busiest := 0.0
		for i, instance := range c.Instances {
			if instance == leader {
				leaders = append(leaders, shares[i])
			} else {
				busiest = max(busiest, shares[i])
			}
		}
		followers = append(followers, busiest)
	}
	return figures{
		of("idle_leader", proxied, 0, "% of a core", leaders),
		of("idle_follower", proxied, 0, "% of a core", followers),
	}, nil
}

// sharesOfACore is how much of a core each instance takes for a while, in percent.
func sharesOfACore(ctx context.Context, c *cluster.Cluster, length time.Duration) ([]float64, error) {
	shares := make([]float64, len(c.Instances))
	add := func(sign float64) error {
		for i, instance := range c.Instances {
			used, err := cpuSeconds(instance.PID())
			if err != nil {
				return err
			}
			shares[i] += sign * used
		}
		return nil
	}
	began := time.Now()
	if err := add(-1); err != nil {
		return nil, err
	}
	if err := workload.Pass(ctx, length); err != nil {
		return nil, err
	}
	if err := add(1); err != nil {
		return nil, err
	}
	for i := range shares {
		shares[i] *= 100 / time.Since(began).Seconds()
	}
	return shares, nil
}
