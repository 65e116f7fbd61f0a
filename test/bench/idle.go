package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
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
// percent of a core, and how often their threads wake up: of the leader, and of the follower that
// takes more. Wake-ups hardly depend on the load of the machine. The storages are processes of
// test-gitaly.
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
	var leaders, followers, leaderWakeUps, followerWakeUps []float64
	for range idleRuns {
		leader, err := c.Leader(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask for the leader: %w", err)
		}
		shares, wakes, err := whileIdle(ctx, c, idleFor/idleRuns)
		if err != nil {
			return nil, err
		}
		busiest, wakesMost := 0.0, 0.0
		for i, instance := range c.Instances {
			if instance == leader {
				leaders, leaderWakeUps = append(leaders, shares[i]), append(leaderWakeUps, wakes[i])
			} else {
				busiest, wakesMost = max(busiest, shares[i]), max(wakesMost, wakes[i])
			}
		}
		followers, followerWakeUps = append(followers, busiest), append(followerWakeUps, wakesMost)
	}
	return figures{
		of("idle_leader", proxied, 0, "% of a core", leaders),
		of("idle_follower", proxied, 0, "% of a core", followers),
		of("idle_leader_wakeups", proxied, 0, "wake-ups/s", leaderWakeUps),
		of("idle_follower_wakeups", proxied, 0, "wake-ups/s", followerWakeUps),
	}, nil
}

// whileIdle is how much of a core each instance takes for a while, in percent, and how often a second its
// threads wake up.
func whileIdle(ctx context.Context, c *cluster.Cluster, length time.Duration) (shares, wakes []float64, err error) {
	shares, wakes = make([]float64, len(c.Instances)), make([]float64, len(c.Instances))
	add := func(sign float64) error {
		for i, instance := range c.Instances {
			used, err := cpuSeconds(instance.PID())
			if err != nil {
				return err
			}
			woken, err := wakeUps(instance.PID())
			if err != nil {
				return err
			}
			shares[i] += sign * used
			wakes[i] += sign * woken
		}
		return nil
	}
	began := time.Now()
	if err := add(-1); err != nil {
		return nil, nil, err
	}
	if err := workload.Pass(ctx, length); err != nil {
		return nil, nil, err
	}
	if err := add(1); err != nil {
		return nil, nil, err
	}
	seconds := time.Since(began).Seconds()
	for i := range shares {
		shares[i] *= 100 / seconds
		wakes[i] /= seconds
	}
	return shares, wakes, nil
}

// wakeUps is how often the threads of a process have given the processor back because they had
// nothing to do, see proc(5): each but the last was woken again.
func wakeUps(pid int) (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			if count, ok := strings.CutPrefix(line, "voluntary_ctxt_switches:"); ok {
				n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
				if err != nil {
					return 0, fmt.Errorf("read %s: %w", thread, err)
				}
				sum += n
			}
		}
	}
	return sum, nil
}
