package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"praefect/test/cluster"
	"praefect/test/scenario"
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

// one keeps the machine of a cluster busy. It tells on progress how far it is, and at the end why
// some operations of clients failed.
func one(ctx context.Context, ground *scenario.Ground, hungry *git, s settings, b bound, progress io.Writer) (f figure, err error) {
	name := strings.ReplaceAll(b.name, " ", "-")
	options := cluster.Options{
		Binaries: ground.Binaries, Instances: 3, Disk: ground.Seeds.Disk, Settings: tuning + b.settings,
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered(virtualStorage, 3)},
	}
	if *s.keep != "" {
		options.Dir = filepath.Join(*s.keep, name)
	}
	f.Bound = b.name
	ctx, cancel := context.WithTimeout(ctx, s.length()+2*endLimit)
	defer cancel()
	err = scenario.With(ctx, options, *s.out+"-"+name+".log", func(c *cluster.Cluster) error {
		runs, terms, fences := hungry.runs.Load(), uint64(0), 0
		_, err := scenario.Play{
			Cluster: c, VirtualStorage: virtualStorage, Paths: ground.Seeds.Paths(), Steady: beforeBusy,
			Load: workload.Config{
				Writers: writers, Readers: readers, WriteEvery: time.Second, ReadEvery: 500 * time.Millisecond,
				Homes: c.Instances, Own: ground.Seeds.Values(),
			},
			Aim: func(ctx context.Context) (_ string, err error) {
				terms, fences, err = changes(ctx, c)
				return "", err
			},
			Fault: func(ctx context.Context) error {
				began := time.Now()
				busy, cancel := context.WithTimeout(ctx, s.length())
				defer cancel()
				defer scenario.Progress(progress, b.name, s.length(), func() string {
					return fmt.Sprintf(", %d git runs, load %.0f", hungry.runs.Load()-runs, load())
				})()
				err := hungry.work(busy, s.processes)
				f.Minutes, f.GitRuns, f.Load = time.Since(began).Minutes(), hungry.runs.Load()-runs, load()
				return errors.Join(err, ctx.Err())
			},
			Seen: func(o scenario.Outcome) {
				f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed = o.Writes, o.WritesFailed, o.Reads, o.ReadsFailed
				f.SlowestMS = float64(o.Slowest.Milliseconds())
				o.Explain(progress)
			},
		}.Run(ctx)
		if err != nil {
			return err
		}
		if f.Writes == 0 {
			return errors.New("no write succeeded: the clients were not at work")
		}
		termsNow, fencesNow, err := changes(ctx, c)
		f.Terms, f.Failovers = termsNow-terms, fencesNow-fences
		return err
	})
	return f, err
}

// changes is the term of Raft, and how many fences there were.
func changes(ctx context.Context, c *cluster.Cluster) (terms uint64, fences int, err error) {
	if terms, err = scenario.Term(ctx, c); err == nil {
		fences, err = scenario.Fences(ctx, c, virtualStorage)
	}
	return terms, fences, err
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
