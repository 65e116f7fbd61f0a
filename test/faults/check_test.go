package faults

import (
	"context"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// settleLimit bounds the time until nothing is left to repair, on a busy machine.
const settleLimit = 2 * time.Minute

// settled waits until nothing is left to repair and checks the whole state; see
// workload.History.AwaitRepairs.
func settled(t *testing.T, c *cluster.Cluster, h *workload.History) {
	t.Helper()
	settledWithin(t, settleLimit, c, h)
}

// settledWithin is settled after a load that has made much to compare.
func settledWithin(t *testing.T, limit time.Duration, c *cluster.Cluster, h *workload.History) {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	must.Succeed(t, h.AwaitRepairs(ctx, c))
	t.Logf("nothing was left to repair, and all was there, after %v", time.Since(began).Round(time.Millisecond))
}
