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
