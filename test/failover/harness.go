package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"praefect/test/cluster"
	"praefect/test/netns"
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
	strong  bool           // writes are voted on
	primary *cluster.Storage
	hit     string // label of the instance whose clients are counted apart
	traffic *workload.Traffic
	clock   *stopwatch
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

// outcome is the result of one run.
type outcome struct {
	workload.Figures
	unavailable int
}

// once runs a step on a fresh cluster.
func (b *bench) once(ctx context.Context, s step, run int, clock *stopwatch) (_ outcome, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	w, err := b.start(ctx, s, run)
	if err != nil {
		return outcome{}, err
	}
	defer func() {
		if w.traffic != nil {
			w.traffic.Stop()
		}
		if err != nil {
			err = errors.Join(err, b.keepDiagnosis(w, s, run))
		}
		err = errors.Join(err, w.kill(), w.c.Stop(context.WithoutCancel(ctx)))
		if w.testbed != nil {
			err = errors.Join(err, w.testbed.Close())
		}
		clock.lap("stop")
	}()
	w.clock = clock
	clock.lap("start")
	return w.play(ctx, s, b.seeds, run)
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

// start starts the cluster.
func (b *bench) start(ctx context.Context, s step, run int) (*harness, error) {
	w := &harness{strong: b.mode == strong}
	options := cluster.Options{
		Binaries: b.binaries, Instances: 3, Balancer: true, Disk: b.seeds.Disk, Postgres: b.postgres,
		Settings: fmt.Sprintf(tuning, b.mode),
	}
	if b.keep != "" {
		options.Dir = filepath.Join(b.keep, fmt.Sprintf("%s-%d", s.name, run))
	}
	if s.network {
		testbed, err := netns.Open(ctx)
		if err != nil {
			return nil, fmt.Errorf("run %s: %w", s.name, err)
		}
		w.testbed = testbed
		options.Postgres, options.Place = nil, testbed.Place
	}
	c, err := cluster.Start(ctx, options)
	if err != nil {
		if w.testbed != nil {
			err = errors.Join(err, w.testbed.Close())
		}
		return nil, err
	}
	w.c = c
	return w, nil
}

// play has clients work, lets it happen, and checks the end state.
func (w *harness) play(ctx context.Context, s step, seeds *workload.Seeds, run int) (outcome, error) {
	if err := w.c.WaitConverged(ctx); err != nil {
		return outcome{}, err
	}
	w.clock.lap("settle")
	config := workload.Config{Writers: writers, WriteEvery: writeEvery, ReadEvery: readEvery}
	if w.strong {
		config.Own = seeds.Values()
	}
	if !s.balanced {
		config.Homes = w.c.Instances
	}
	var err error
	if w.traffic, err = workload.Start(ctx, w.c, virtualStorage, seeds.Paths(), config); err != nil {
		return outcome{}, err
	}
	if err := w.atWork(ctx); err != nil {
		return outcome{}, err
	}
	if w.primary, err = w.c.Primary(ctx, virtualStorage); err != nil {
		return outcome{}, err
	}
	if s.hit != nil {
		if w.hit, err = s.hit(ctx, w, run); err != nil {
			return outcome{}, err
		}
	}
	w.clock.lap("steady")
	w.traffic.Rush()
	from := time.Now()
	if err := s.fault(ctx, w); err != nil {
		return outcome{}, fmt.Errorf("let %s happen: %w", s.name, err)
	}
	if err := workload.Pass(ctx, time.Until(from.Add(s.watch))); err != nil {
		return outcome{}, err
	}
	return w.conclude(ctx, s, from)
}

// atWork lets clients work until they are in their stride.
func (w *harness) atWork(ctx context.Context) error {
	const limit, every = 30 * time.Second, 50 * time.Millisecond
	if err := workload.Pass(ctx, steady); err != nil {
		return err
	}
	for end := time.Now().Add(limit); w.traffic.Acknowledged() < writers; {
		if time.Now().After(end) {
			return fmt.Errorf("%d writers had only %d writes acknowledged before anything happened, within %v", writers, w.traffic.Acknowledged(), limit)
		}
		if err := workload.Pass(ctx, every); err != nil {
			return err
		}
	}
	return nil
}

// conclude stops the clients, takes the figures, and checks that nothing is lost.
func (w *harness) conclude(ctx context.Context, s step, from time.Time) (outcome, error) {
	w.clock.lap("watch")
	w.traffic.Stop()
	unavailable, err := workload.Unavailable(ctx, w.c, virtualStorage)
	if err != nil {
		return outcome{}, err
	}
	o := outcome{unavailable: len(unavailable)}
	o.Figures = w.traffic.Figures(workload.Window{From: from, Hit: w.hit, Unavailable: unavailable})
	if s.mend != nil {
		if err := s.mend(ctx, w); err != nil {
			return o, fmt.Errorf("mend what %s has broken: %w", s.name, err)
		}
	}
	if err := w.c.WaitConverged(ctx); err != nil {
		return o, err
	}
	w.clock.lap("mend")
	return o, w.traffic.Verify(ctx)
}

// keepDiagnosis writes the ends of all logs of a run that failed to a file.
func (b *bench) keepDiagnosis(w *harness, s step, run int) error {
	path := fmt.Sprintf("%s-%s-%d.log", b.out, s.name, run)
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("keep the logs: %w", err)
	}
	if w.traffic != nil {
		for _, fault := range w.traffic.Figures(workload.Window{}).Faults {
			fmt.Fprintln(file, fault)
		}
	}
	w.c.Diagnose(file)
	return errors.Join(fmt.Errorf("the ends of the logs are in %s", path), file.Close())
}
