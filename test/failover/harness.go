package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"praefect/test/cluster"
	"praefect/test/netns"
	"praefect/test/scenario"
	"praefect/test/workload"
)

const (
	virtualStorage = "default"
	// writers is how many write. They go round some repositories, so many that one is
	// clean at any time; where writes are voted on each has one of its own.
	writers      = 16
	repositories = 64
	// writeEvery and readEvery are the paces of one client: with 16 writers and 4
	// readers a small machine has half of its time left, and a pause is known to 50 ms.
	writeEvery = 800 * time.Millisecond
	readEvery  = 200 * time.Millisecond
	// steady is how long clients are at work before something happens: longer than
	// warm_up, so that it keeps no leader from replacing a primary.
	steady = 1500 * time.Millisecond
	// runLimit bounds one run, its check too.
	runLimit = 5 * time.Minute
)

// tuning has repairs made soon, so that a run ends soon and
// few repositories are behind at any time. Nothing that detects, decides or holds is
// other than it is without settings: warm_up is over when something happens, as it is
// with any cluster that has been up for some seconds, and return_after is only about
// a storage that comes back after a run's figures were taken.
const tuning = `
drain_wait = "1s"
[consistency]
mode = %q
intent_linger = "300ms"
[replication]
parallel_storage_processing_workers = 4
copy_timeout = "10s"
retry_min = "100ms"
retry_max = "1s"
attempts = 1000
[reconciliation]
scheduling_interval = "1s"
[failover]
return_after = "500ms"
warm_up = "1s"
`

// harness is the cluster of one run.
type harness struct {
	c       *cluster.Cluster
	testbed *netns.Testbed // nil without namespaces
	primary *cluster.Storage
	hit     string // label of the instance whose clients are counted apart
}

// instance is the one that is hit.
func (w *harness) instance() *cluster.Instance {
	for _, i := range w.c.Instances {
		if i.Label() == w.hit {
			return i
		}
	}
	return nil
}

// once runs a step on a fresh cluster.
func (b *bench) once(ctx context.Context, s step, run int, clock *stopwatch) (o scenario.Outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	defer clock.lap("stop")
	w, name := &harness{}, fmt.Sprintf("%s-%d", s.name, run)
	options := cluster.Options{
		Binaries: b.ground.Binaries, Instances: 3, Balancer: true, Disk: b.ground.Seeds.Disk, Postgres: b.postgres,
		Settings: fmt.Sprintf(tuning, b.mode),
	}
	if b.keep != "" {
		options.Dir = filepath.Join(b.keep, name)
	}
	if s.network {
		if w.testbed, err = netns.Open(ctx); err != nil {
			return o, fmt.Errorf("run %s: %w", s.name, err)
		}
		defer func() { err = errors.Join(err, w.testbed.Close()) }()
		options.Postgres, options.Place = nil, w.testbed.Place
	}
	err = scenario.With(ctx, options, b.out+"-"+name+".log", func(c *cluster.Cluster) error {
		clock.lap("start")
		w.c = c
		var played error
		o, played = b.play(w, s, run, clock).Run(ctx)
		return errors.Join(played, w.kill())
	})
	return o, err
}

// kill ends every process at once: all was checked, and to end in good order takes
// seconds. A process that ended before by itself is left for Stop to find.
func (w *harness) kill() error {
	var faults []error
	for _, i := range w.c.Instances {
		if i.Running() {
			faults = append(faults, i.Kill())
		}
	}
	for _, s := range w.c.Storages {
		if s.Running() {
			faults = append(faults, s.Kill())
		}
	}
	return errors.Join(faults...)
}

// play is a step as it happens to a cluster.
func (b *bench) play(w *harness, s step, run int, clock *stopwatch) scenario.Play {
	p := scenario.Play{
		Cluster: w.c, VirtualStorage: virtualStorage, Paths: b.ground.Seeds.Paths(), Steady: steady, Watch: s.watch, Lap: clock.lap,
		Load: workload.Config{Writers: writers, WriteEvery: writeEvery, ReadEvery: readEvery},
		Aim: func(ctx context.Context) (_ string, err error) {
			if w.primary, err = w.c.Primary(ctx, virtualStorage); err == nil && s.hit != nil {
				w.hit, err = s.hit(ctx, w, run)
			}
			return w.hit, err
		},
		Fault: func(ctx context.Context) error { return s.fault(ctx, w) },
	}
	if b.mode == strong {
		p.Load.Own = b.ground.Seeds.Values()
	}
	if !s.balanced {
		p.Load.Homes = w.c.Instances
	}
	if s.mend != nil {
		p.Mend = func(ctx context.Context) error { return s.mend(ctx, w) }
	}
	return p
}
