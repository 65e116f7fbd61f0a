package upgrade

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
)

// TestCluster_crossesTheTypedMessagesAtAStop: instances from before the typed messages and present
// ones do not understand each other. All instances are stopped and started with the present
// program: it finds their data, and nothing that was acknowledged is lost.
func TestCluster_crossesTheTypedMessagesAtAStop(t *testing.T) {
	former := buildOf(t, "untyped")
	present := keepPresent(t)
	must.Succeed(t, replace(programs.Path(cluster.Praefect), former))
	ctx, c, seeds := begin(t, settings)
	traffic := startLoad(ctx, t, c, seeds)
	// Each once: the former instances cannot be asked which are repaired.
	scenario.Within(t, patience, "clients have written", func(context.Context) error {
		if n := traffic.Acknowledged(); n < repositories/2 {
			return fmt.Errorf("%d writes", n)
		}
		return nil
	})
	traffic.Stop()
	for _, i := range c.Instances {
		must.Succeed(t, i.Terminate(ctx))
	}
	must.Succeed(t, replace(programs.Path(cluster.Praefect), present))
	for _, i := range c.Instances {
		must.Succeed(t, i.Start())
	}
	must.Succeed(t, errors.Join(c.WaitReady(ctx), sameVersion(ctx, c)))
	fine(ctx, t, c, traffic)
}
