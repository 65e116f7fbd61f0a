package main

import (
	"context"
	"fmt"
	"os"
)

// down stops the demo and removes all of it; without one there is nothing to do.
func (d *demo) down(ctx context.Context) error {
	stopped, err := stopProcesses(ctx, d.state)
	if err != nil {
		return err
	}
	if stopped == 0 && d.record == nil {
		fmt.Fprintln(d.stdout, "No demo is up.")
	} else {
		fmt.Fprintf(d.stdout, "  ✓ stopped %d processes\n", stopped)
	}
	if err := remove(d.published(), d.state); err != nil {
		return err
	}
	if d.record != nil {
		fmt.Fprintf(d.stdout, "  ✓ removed %s\n", d.state)
	}
	return nil
}

// clear removes the rest of an earlier demo: one that lost a process, or that was
// killed while it came up.
func (d *demo) clear(ctx context.Context) error {
	if _, err := stopProcesses(ctx, d.state); err != nil {
		return err
	}
	return remove(d.published(), d.state)
}

func remove(paths ...string) error {
	for _, path := range paths {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove what is left of the demo: %w", err)
		}
	}
	return nil
}
