package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// startInstances starts all instances and waits for each. They know each other's
// addresses from the start, so that one whose address was taken in between has
// all of them begin anew.
func (c *Cluster) startInstances(ctx context.Context) error {
	for n := range c.options.Instances {
		i, err := c.newInstance(ctx, instanceName(n))
		if err != nil {
			return err
		}
		c.Instances = append(c.Instances, i)
	}
	wanted := c.options.ClientAddr
	if c.options.Balancer {
		wanted = "" // it is the balancer's
	}
	const tries = 5
	for try := 1; ; try++ {
		err := c.launchInstances(ctx, wanted)
		exit, ended := errors.AsType[*ExitError](err)
		if !ended || !addressTaken(exit) || try == tries {
			return err
		}
		wanted = ""
		if err := c.forgetInstances(); err != nil {
			return fmt.Errorf("start the instances again: %w", err)
		}
	}
}

func (c *Cluster) launchInstances(ctx context.Context, wanted string) error {
	for _, i := range c.Instances {
		if err := i.address(ctx, c, wanted); err != nil {
			return err
		}
		wanted = "" // the first one's
	}
	for _, i := range c.Instances {
		if err := c.writeConfig(i); err != nil {
			return err
		}
		if err := i.Start(); err != nil {
			return err
		}
	}
	for _, i := range c.Instances {
		if err := i.WaitReady(ctx); err != nil {
			return err
		}
		c.options.Progress(i.Label(), i.Addr)
	}
	return nil
}

// forgetInstances takes a start back that did not succeed.
func (c *Cluster) forgetInstances() error {
	var faults []error
	for _, i := range c.Instances {
		faults = append(faults, i.Kill(), i.forget())
	}
	return errors.Join(faults...)
}

// forget empties the directory of the replicated state, which stays: it may be
// where a disk is mounted.
func (i *Instance) forget() error {
	entries, err := os.ReadDir(i.RaftDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	faults := []error{err}
	for _, entry := range entries {
		faults = append(faults, os.RemoveAll(filepath.Join(i.RaftDir, entry.Name())))
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("empty the state of %s: %w", i.Label(), err)
	}
	return nil
}

// Grow adds instances until there are n. The one that stood alone is restarted
// with the section that makes it one of several, and keeps its state. It returns
// when all are ready.
func (c *Cluster) Grow(ctx context.Context, n int) error {
	there := len(c.Instances)
	for len(c.Instances) < n {
		i, err := c.newInstance(ctx, instanceName(len(c.Instances)))
		if err != nil {
			return err
		}
		if err := i.address(ctx, c, ""); err != nil {
			return err
		}
		c.Instances = append(c.Instances, i)
	}
	for number, i := range c.Instances {
		if err := c.writeConfig(i); err != nil {
			return err
		}
		if number < there {
			if err := i.Terminate(ctx); err != nil {
				return err
			}
		}
		if err := i.Start(); err != nil {
			return err
		}
	}
	for _, i := range c.Instances {
		if err := i.WaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Replace starts an instance that does not run as another one of the same name,
// without any state: it has to join. The operator has removed the old one.
func (i *Instance) Replace() error {
	if err := i.forget(); err != nil {
		return err
	}
	return i.Start()
}

func instanceName(n int) string { return "praefect-" + strconv.Itoa(n+1) }
