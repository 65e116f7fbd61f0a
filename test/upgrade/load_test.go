package upgrade

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// keepPresent puts a copy of the present program aside, where a test replaces it, and back when
// the test has ended: the other tests need it.
func keepPresent(t *testing.T) string {
	t.Helper()
	present := filepath.Join(t.TempDir(), "present")
	must.Succeed(t, replace(present, programs.Path(cluster.Praefect)))
	t.Cleanup(func() {
		if err := replace(programs.Path(cluster.Praefect), present); err != nil {
			t.Error(err)
		}
	})
	return present
}

// begin starts three instances behind a balancer, on repositories for clients. The context bounds the
// test.
func begin(t *testing.T, settings string) (context.Context, *cluster.Cluster, *workload.Seeds) {
	t.Helper()
	const limit = 9 * time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), repositories)
	must.Succeed(t, err)
	c := cluster.Run(t, cluster.Options{Instances: 3, Balancer: true, Binaries: programs, Disk: seeds.Disk, Settings: settings})
	return ctx, c, seeds
}

// startLoad has clients write and read until the test ends.
func startLoad(ctx context.Context, t *testing.T, c *cluster.Cluster, seeds *workload.Seeds) *workload.Traffic {
	t.Helper()
	traffic, err := workload.Start(ctx, c, vs, seeds.Paths(), workload.Config{
		Writers: 2, Readers: 2, WriteEvery: 200 * time.Millisecond, ReadEvery: 200 * time.Millisecond,
	})
	must.Succeed(t, err)
	t.Cleanup(traffic.Stop)
	return traffic
}

// fine stops the clients. It wants none of their requests to have failed, and every acknowledged write to
// be on every storage in the end.
func fine(ctx context.Context, t *testing.T, c *cluster.Cluster, traffic *workload.Traffic) {
	t.Helper()
	traffic.Stop()
	f := traffic.Figures(workload.Window{})
	t.Logf("%d writes and %d reads", f.Writes, f.Reads)
	if f.Writes == 0 || f.Reads == 0 || f.WritesFailed+f.ReadsFailed > 0 {
		t.Errorf("%d writes, %d failed; %d reads, %d failed: %v", f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed, f.Faults)
	}
	must.Succeed(t, c.WaitConverged(ctx))
	if err := traffic.Verify(ctx); err != nil {
		t.Error(err)
	}
}
