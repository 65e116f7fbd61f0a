package scenario

import (
	"context"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// WaitLimit bounds the wait for an event that must come, on a busy machine too.
const WaitLimit = time.Minute

// Eventually waits until attempt returns nil, for WaitLimit at most.
func Eventually(t testing.TB, what string, attempt func(context.Context) error) {
	t.Helper()
	Within(t, WaitLimit, what, attempt)
}

// Within waits until attempt returns nil, for limit at most.
func Within(t testing.TB, limit time.Duration, what string, attempt func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		err := attempt(ctx)
		if err == nil {
			return
		}
		if workload.Pass(ctx, 50*time.Millisecond) != nil {
			t.Fatalf("wait until %s, for %v: %v", what, limit, err)
		}
	}
}

// Leader waits for an instance that leads.
func Leader(t testing.TB, c *cluster.Cluster) (leader *cluster.Instance) {
	t.Helper()
	Eventually(t, "there is a leader", func(ctx context.Context) (err error) {
		leader, err = c.Leader(ctx)
		return err
	})
	return leader
}

// Follower waits for an instance that leads, and returns another one.
func Follower(t testing.TB, c *cluster.Cluster) *cluster.Instance {
	t.Helper()
	return Others(c, Leader(t, c))[0]
}

// Primary waits for a storage that takes the writes of a virtual storage.
func Primary(t testing.TB, c *cluster.Cluster, virtualStorage string) (primary *cluster.Storage) {
	t.Helper()
	Eventually(t, "there is a primary", func(ctx context.Context) (err error) {
		primary, err = c.Primary(ctx, virtualStorage)
		return err
	})
	return primary
}
