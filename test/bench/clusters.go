package main

import (
	"context"
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

// gitCluster is some instances in front of three storages on real git. Behind the
// virtual storage "alone" there is one more, for calls that go past them: the
// three would differ after it.
func gitCluster(ctx context.Context, binaries cluster.Binaries, mode string, pg *postgres.Server, seeds *workload.Seeds, instances int) (*cluster.Cluster, error) {
	c, err := cluster.Start(ctx, cluster.Options{
		Binaries: binaries, Postgres: pg, Instances: instances, Disk: seeds.Disk, Settings: fmt.Sprintf(tuning, mode),
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

// closePostgres ends a server that clusters have shared.
func closePostgres(pg *postgres.Server) {
	if err := pg.Close(); err != nil {
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
