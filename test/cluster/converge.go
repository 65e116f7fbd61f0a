package cluster

import (
	"context"
	"fmt"
	"time"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// WaitConverged waits until nothing is left to repair: at every instance each
// storage serves and is reachable, no repository is behind or in doubt, the queue
// is empty, and all replicas are equal. Writers should have stopped. When ctx ends
// first, the error names the rest; when a process has ended, it says so at
// once, for then the wait would be in vain.
func (c *Cluster) WaitConverged(ctx context.Context) error {
	const every = 50 * time.Millisecond
	err := poll(ctx, every, func(ctx context.Context) (bool, error) {
		for _, p := range c.processes() {
			if !p.Running() {
				return true, fmt.Errorf("%s is not running; see its log %s", p.Label(), p.Log())
			}
		}
		err := c.checkConverged(ctx)
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("wait until nothing is left to repair: %w", err)
	}
	return nil
}

// checkConverged names the first thing that is left to repair.
func (c *Cluster) checkConverged(ctx context.Context) error {
	for _, i := range c.Instances {
		for _, check := range []func(context.Context) error{i.checkStatus, i.checkLedger, i.checkQueue} {
			if err := check(ctx); err != nil {
				return fmt.Errorf("%s: %w", i.Label(), err)
			}
		}
	}
	return c.CheckReplicas(ctx)
}

// checkStatus wants every storage to take part, and none to be behind.
func (i *Instance) checkStatus(ctx context.Context) error {
	status, err := i.Admin().Status(ctx, admin.StatusRequest{})
	if err != nil {
		return fmt.Errorf("ask for the status: %w", err)
	}
	for _, v := range status.VirtualStorages {
		for _, s := range v.Storages {
			switch {
			case s.State != state.Serving:
				return fmt.Errorf("storage %s of %q is %v", s.Name, v.Name, s.State)
			case !s.Reachable:
				return fmt.Errorf("storage %s of %q is not reachable: %s", s.Name, v.Name, s.Error)
			case s.Behind > 0:
				return fmt.Errorf("storage %s of %q is behind for %d repositories", s.Name, v.Name, s.Behind)
			}
		}
	}
	return nil
}

// checkLedger wants no write that ended without full account.
func (i *Instance) checkLedger(ctx context.Context) error {
	const gauge = "praefect_in_doubt_repositories"
	metrics, err := i.Metrics(ctx)
	if err != nil {
		return err
	}
	switch inDoubt, found := metrics.Sum(gauge); {
	case !found:
		return fmt.Errorf("no metric %s", gauge)
	case inDoubt > 0:
		return fmt.Errorf("%v repositories are in doubt", inDoubt)
	}
	return nil
}

func (i *Instance) checkQueue(ctx context.Context) error {
	queue, err := i.Admin().QueueList(ctx, admin.QueueListRequest{Limit: 1})
	if err != nil {
		return fmt.Errorf("list the queue: %w", err)
	}
	for _, job := range queue.Jobs {
		return fmt.Errorf("a job waits: %+v", job)
	}
	return nil
}
