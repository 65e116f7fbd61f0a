package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// clientAddr is where clients find the demo, if the port is free.
const clientAddr = "127.0.0.1:2305"

// repositories is how many there are beside the one that is pushed.
const repositories = 8

// tuning lets the repairs after a scene be made while people look on.
// Nothing that detects, decides or holds is other than it is without settings.
const tuning = `
drain_wait = "1s"
[consistency]
intent_linger = "300ms"
[replication]
parallel_storage_processing_workers = 4
copy_timeout = "10s"
retry_min = "100ms"
retry_max = "1s"
[reconciliation]
scheduling_interval = "1s"
[failover]
return_after = "2s"
`

// up starts the demo and shows each step; one that runs already is only
// described.
func (d *demo) up(ctx context.Context) error {
	if d.record != nil {
		dead, err := d.dead()
		if err != nil {
			return err
		}
		if len(dead) == 0 {
			fmt.Fprintf(d.stdout, "The demo is up already, in %s.\n", d.state)
			if err := d.record.write(d.published()); err != nil { // this checkout may not have it
				return err
			}
			d.explain()
			return nil
		}
		fmt.Fprintf(d.stdout, "The demo was up, but %s ended. It is started anew.\n", dead[0].name)
	}
	programs, err := cluster.BinariesIn(d.build)
	if err != nil {
		return err
	}
	gitaly, err := cluster.FindGitaly(ctx, os.Getenv("GITALY_BIN"), os.Getenv("GITALY_GIT"))
	if err != nil {
		return err
	}
	if err := d.clear(ctx); err != nil {
		return err
	}
	begun := time.Now()
	c, err := d.start(ctx, programs, gitaly)
	if err != nil {
		return err
	}
	if err := d.show(ctx, c); err != nil {
		if ctx.Err() == nil { // not interrupted: people want to know why
			fmt.Fprintln(d.stderr, "The processes, before they are stopped:")
			c.Diagnose(d.stderr)
		}
		return errors.Join(err, c.Stop(context.WithoutCancel(ctx)), remove(d.published(), d.kept()),
			fmt.Errorf("nothing runs; logs stay in %s", d.state))
	}
	fmt.Fprintf(d.stdout, "\nUp after %v.\n", time.Since(begun).Round(100*time.Millisecond))
	d.explain()
	return nil
}

// start brings the processes up and writes down where they are.
func (d *demo) start(ctx context.Context, programs cluster.Binaries, gitaly *cluster.Gitaly) (*cluster.Cluster, error) {
	if err := os.MkdirAll(d.state, 0o755); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	// With any umask: the user that runs Postgres has to pass.
	if err := os.Chmod(d.state, 0o755); err != nil {
		return nil, fmt.Errorf("open the state directory for the user of Postgres: %w", err)
	}
	fmt.Fprintf(d.stdout, "Starting a cluster in %s\n", d.state)
	if gitaly != nil {
		git := gitaly.Git
		if git == "" {
			git = "the git that it brings"
		}
		fmt.Fprintf(d.stdout, "Its storages are %s (%s), with %s\n", gitaly.Bin, gitaly.Version, git)
	}
	// The repositories that the scenes of the tour write to.
	seeds, err := workload.NewSeeds(ctx, d.state, repositories)
	if err != nil {
		return nil, err
	}
	d.seeds = seeds
	steps := d.steps()
	return cluster.Start(ctx, cluster.Options{
		Binaries: programs, Dir: d.state, ClientAddr: clientAddr, Detached: true, Progress: steps.done,
		Instances: 3, Balancer: true, Gitaly: gitaly, Disk: seeds.Disk, Settings: tuning, Console: true,
	})
}

// show writes the record and does the main job.
func (d *demo) show(ctx context.Context, c *cluster.Cluster) error {
	d.record = newRecord(c)
	if err := d.record.write(d.kept(), d.published()); err != nil {
		return err
	}
	if err := (&tour{c: c, steps: d.steps(), stdout: d.stdout, work: c.Dir}).run(ctx); err != nil || !d.tour {
		return err
	}
	fmt.Fprintf(d.stdout, "\nThings happen to it, with clients at work\n")
	if err := (&drama{c: c, steps: d.steps(), seeds: d.seeds}).play(ctx); err != nil {
		return err
	}
	d.record = newRecord(c) // some processes are others now
	return d.record.write(d.kept(), d.published())
}

// dead are the processes of the record that do not run.
func (d *demo) dead() ([]part, error) {
	running, err := processesOf(d.state)
	if err != nil {
		return nil, err
	}
	alive := make(map[int]bool)
	for _, p := range running {
		alive[p.pid] = true
	}
	var dead []part
	for _, p := range d.record.parts() {
		if !alive[p.pid] {
			dead = append(dead, p)
		}
	}
	return dead, nil
}

// steps prints one line for each step that is done, with how long it took.
type steps struct {
	d     *demo
	since time.Time
}

func (d *demo) steps() *steps { return &steps{d, time.Now()} }

func (s *steps) done(what, detail string) {
	fmt.Fprintf(s.d.stdout, "  ✓ %-30s %-50s %5.1f s\n", what, detail, time.Since(s.since).Seconds())
	s.since = time.Now()
}
