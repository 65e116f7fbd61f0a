package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"praefect/test/cluster"
	"praefect/test/postgres"
	"praefect/test/workload"
)

// The modes of consistency that are compared; each is the name of a path too.
const (
	strong   = "strong"
	eventual = "eventual"
)

// tuning has the replicas that a measurement leaves behind repaired before the next one.
// Nothing that a request waits for is other than it is without settings.
const tuning = `
[logging]
level = "warn"
[consistency]
mode = %q
intent_linger = "1s"
[replication]
parallel_storage_processing_workers = 4
retry_min = "100ms"
retry_max = "1s"
[reconciliation]
scheduling_interval = "1s"
`

// realGit is what clusters on real git begin with: the repositories of their storages, and the Postgres
// that they share.
type realGit struct {
	binaries cluster.Binaries
	dir      string
	seeds    *workload.Seeds
	pg       *postgres.Server
	gitaly   *cluster.Gitaly // nil: test-gitaly
}

// prepareGit makes so many repositories, and starts Postgres. The caller calls end.
func prepareGit(ctx context.Context, binaries cluster.Binaries, repositories int) (_ *realGit, err error) {
	g := &realGit{binaries: binaries}
	if g.dir, err = os.MkdirTemp("", "praefect-bench-"); err != nil {
		return nil, err
	}
	if g.seeds, err = workload.NewSeeds(ctx, g.dir, repositories); err == nil {
		g.pg, err = postgres.Launch(ctx, postgres.Options{})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(g.dir))
	}
	return g, nil
}

// end stops Postgres and removes the files.
func (g *realGit) end() {
	if err := errors.Join(g.pg.Close(), os.RemoveAll(g.dir)); err != nil {
		fmt.Fprintln(os.Stderr, "bench: stop:", err)
	}
}

// cluster is some instances in front of three storages on real git. Behind the
// virtual storage "alone" there is one more, for calls that go past them: the
// three would differ after it.
func (g *realGit) cluster(ctx context.Context, mode string, instances int) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries: g.binaries, Postgres: g.pg, Instances: instances, Gitaly: g.gitaly, Disk: g.seeds.Disk, Settings: fmt.Sprintf(tuning, mode),
		VirtualStorages: []cluster.VirtualStorage{cluster.Numbered("default", 3), cluster.Numbered(alone, 1)},
	})
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, c); err != nil {
		stopCluster(ctx, c)
		return nil, err
	}
	return c, nil
}

// settle waits until nothing is left to repair, so that the next measurement does
// not bear it.
func settle(ctx context.Context, c *cluster.Cluster) error {
	const limit = time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.WaitConverged(ctx)
}

func stopCluster(ctx context.Context, c *cluster.Cluster) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := c.Stop(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench: stop:", err)
	}
}

// committedVotes is how many votes of storages an instance has answered with yes.
func committedVotes(ctx context.Context, c *cluster.Cluster) (float64, error) {
	metrics, err := c.Instances[0].Metrics(ctx)
	if err != nil {
		return 0, err
	}
	const series = `gitaly_praefect_transactions_total{action="committed"}`
	votes, found := metrics[series]
	if !found {
		return 0, fmt.Errorf("no metric %s", series)
	}
	return votes, nil
}
