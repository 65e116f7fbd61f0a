package scenario

import (
	"context"
	"time"

	"praefect/test/cluster"
	"praefect/test/postgres"
	"praefect/test/workload"
)

// PostgresAway stops Postgres at once, and starts it again after a time.
func PostgresAway(ctx context.Context, c *cluster.Cluster, lasts time.Duration) error {
	if err := c.Postgres.Stop(postgres.Immediate); err != nil {
		return err
	}
	if err := workload.Pass(ctx, lasts); err != nil {
		return err
	}
	return c.Postgres.Start(ctx)
}

// Restart ends an instance in good order, starts it again, and waits until it is ready.
func Restart(ctx context.Context, i *cluster.Instance) error {
	if err := i.Terminate(ctx); err != nil {
		return err
	}
	if err := i.Start(); err != nil {
		return err
	}
	return i.WaitReady(ctx)
}

// RestartEach restarts one instance after the other, as an upgrade does.
func RestartEach(ctx context.Context, c *cluster.Cluster) error {
	for _, i := range c.Instances {
		if err := Restart(ctx, i); err != nil {
			return err
		}
	}
	return nil
}
