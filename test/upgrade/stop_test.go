package upgrade

import (
	"context"
	"errors"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// TestCluster_crossesTheTypedMessagesAtAStop: instances from before the typed messages and present
// ones do not understand each other. All instances are stopped and started with the present
// program: it finds their data, and nothing that was acknowledged is lost.
func TestCluster_crossesTheTypedMessagesAtAStop(t *testing.T) {
	former := buildOf(t, "untyped")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	present := keepPresent(t)
	must.Succeed(t, replace(programs.Path(cluster.Praefect), former))
	seeds, err := workload.NewSeeds(ctx, t.TempDir(), repositories)
	must.Succeed(t, err)
	c := cluster.Run(t, cluster.Options{Instances: 3, Balancer: true, Binaries: programs, Disk: seeds.Disk, Settings: settings})
	traffic := startLoad(ctx, t, c, seeds)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for traffic.Acknowledged() < repositories/2 { // each once: the former instances cannot be asked which are repaired
		select {
		case <-ctx.Done():
			t.Fatal("too few writes in time")
		case <-tick.C:
		}
	}
	traffic.Stop()
	for _, i := range c.Instances {
		must.Succeed(t, i.Terminate(ctx))
	}
	must.Succeed(t, replace(programs.Path(cluster.Praefect), present))
	for _, i := range c.Instances {
		must.Succeed(t, i.Start())
	}
	must.Succeed(t, errors.Join(c.WaitReady(ctx), sameVersion(ctx, c)))
	if f := traffic.Figures(workload.Window{}); f.Writes == 0 || f.WritesFailed+f.ReadsFailed > 0 {
		t.Errorf("%d writes, %d failed; %d reads, %d failed: %v", f.Writes, f.WritesFailed, f.Reads, f.ReadsFailed, f.Faults)
	}
	must.Succeed(t, c.WaitConverged(ctx))
	if err := traffic.Verify(ctx); err != nil {
		t.Error(err)
	}
}
