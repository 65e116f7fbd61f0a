package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/workload"
)

const (
	virtualStorage = "default"
	// writers and readers are clients at work, in turn at each instance.
	writers, readers = 3, 3
	// beforeBusy is how long they are at work before the machine is busy.
	beforeBusy = 5 * time.Second
	// endLimit bounds the time after the machine was busy.
	endLimit = 5 * time.Minute
)

// tuning lets automatic failover begin before the machine is busy.
const tuning = `
[failover]
warm_up = "1s"
`

// figure is the result of one bound.
type figure struct {
	Bound   string  `json:"bound"`
	Minutes float64 `json:"minutes"`
	// GitRuns is how many git processes ended, Load the load average at the end.
	GitRuns int64   `json:"git_runs"`
	Load    float64 `json:"load"`
	// Failovers is how often a storage was fenced, and none has died.
	Failovers int `json:"failovers"`
	// Terms is how many terms of Raft began.
	Terms        uint64  `json:"terms"`
	Writes       int     `json:"writes"`
	WritesFailed int     `json:"writes_failed"`
	SlowestMS    float64 `json:"slowest_ms"`
	Reads        int     `json:"reads"`
	ReadsFailed  int     `json:"reads_failed"`
}

// one keeps the machine of a cluster busy.
func one(ctx context.Context, binaries cluster.Binaries, seeds *workload.Seeds, hungry *git, s settings, b bound) (f figure, err error) {
	options := cluster.Options{
		Binaries: binaries, Instances: 3, Disk: seeds.Disk, Settings: tuning + b.settings,
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(virtualStorage, 3)},
	}
	if s.keep != "" {
		options.Dir = filepath.Join(s.keep, strings.ReplaceAll(b.name, " ", "-"))
	}
	c, err := cluster.Start(ctx, options)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, c.Stop(context.WithoutCancel(ctx))) }()
	if err := c.WaitReady(ctx); err != nil {
		return f, err
	}
	traffic, err := workload.Start(ctx, c, virtualStorage, seeds.Paths(), workload.Config{
		Writers: writers, Readers: readers, WriteEvery: time.Second, ReadEvery: 500 * time.Millisecond,
		Homes: c.Instances, Own: seeds.Values(),
	})
	if err != nil {
		return f, fmt.Errorf("let clients begin: %w", err)
	}
	defer traffic.Stop()
	wait(ctx, beforeBusy)
	term, err := ask(ctx, c, currentTerm)
	if err != nil {
		return f, err
	}
	fences, err := ask(ctx, c, countFences)
	if err != nil {
		return f, err
	}
	runs, began := hungry.runs.Load(), time.Now()
	busy, cancel := context.WithTimeout(ctx, s.length())
	defer cancel()
	if err := hungry.work(busy, s.processes); err != nil {
		return f, err
	}
	if ctx.Err() != nil {
		return f, ctx.Err()
	}
	f = figure{Bound: b.name, Minutes: time.Since(began).Minutes(), GitRuns: hungry.runs.Load() - runs, Load: load()}
	traffic.Stop()
	seen := traffic.Figures(workload.Window{From: began})
	f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed = seen.Writes, seen.WritesFailed, seen.Reads, seen.ReadsFailed
	f.SlowestMS = float64(seen.Slowest.Milliseconds())
	ending, end := context.WithTimeout(ctx, endLimit)
	defer end()
	after, err := ask(ending, c, currentTerm)
	if err != nil {
		return f, err
	}
	f.Terms = after - term
	fenced, err := ask(ending, c, countFences)
	if err != nil {
		return f, err
	}
	f.Failovers = fenced - fences
	for _, storage := range c.Storages {
		if !storage.Running() {
			return f, fmt.Errorf("%s has ended, so that nothing was shown", storage.Label())
		}
	}
	if seen.Writes == 0 {
		return f, errors.New("no write succeeded: the clients were not at work")
	}
	return f, nil
}

// ask asks one instance after the other, until one answers.
func ask[T any](ctx context.Context, c *cluster.Cluster, question func(context.Context, *admin.Client) (T, error)) (answer T, err error) {
	for ctx.Err() == nil {
		for _, i := range c.Instances {
			if answer, err = question(ctx, i.Admin()); err == nil {
				return answer, nil
			}
		}
		wait(ctx, time.Second)
	}
	return answer, fmt.Errorf("no instance answers: %w", errors.Join(err, ctx.Err()))
}

// currentTerm is the present term of Raft.
func currentTerm(ctx context.Context, c *admin.Client) (uint64, error) {
	answer, err := c.RaftStatus(ctx)
	return answer.Term, err
}

// countFences is how many fences the history tells of: it keeps enough lines for a run.
func countFences(ctx context.Context, c *admin.Client) (n int, err error) {
	answer, err := c.History(ctx, admin.HistoryRequest{VirtualStorage: virtualStorage})
	for _, change := range answer.Changes {
		if change.Change == string(state.Fenced) {
			n++
		}
	}
	return n, err
}

// load is the load average of the last minute, 0 if the kernel does not tell.
func load() (one float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	if _, err := fmt.Sscan(string(text), &one); err != nil {
		return 0
	}
	return one
}

// wait pauses, at most until ctx ends.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
