package cluster

import (
	"context"
	"fmt"
	"time"
)

// pollEvery is the time between two looks at something that may take a moment.
const pollEvery = 20 * time.Millisecond

// poll calls attempt until it says that it is done, and returns its error. Until
// then an attempt names the lack in an error; the latest such one is the error that
// poll returns when ctx ends first.
func poll(ctx context.Context, every time.Duration, attempt func(context.Context) (done bool, err error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var latest error
	for {
		done, err := attempt(ctx)
		if done {
			return err
		}
		if ctx.Err() == nil || latest == nil { // an attempt that was cut short tells little
			latest = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; at last: %w", context.Cause(ctx), latest)
		case <-tick.C:
		}
	}
}

// await polls until the process does its work, or has ended.
func (p *Process) await(ctx context.Context, what string, attempt func(context.Context) error) error {
	r := p.current()
	if r == nil {
		return fmt.Errorf("wait for %s to %s: it was never started", p.name, what)
	}
	err := poll(ctx, pollEvery, func(ctx context.Context) (bool, error) {
		if r.alive() {
			err := attempt(ctx)
			return err == nil, err
		}
		p.note()
		if err := p.exit(r); err != nil {
			return true, err
		}
		return true, fmt.Errorf("it ended, with status 0")
	})
	switch {
	case err == nil:
		return nil
	case r.alive():
		return fmt.Errorf("wait for %s to %s: %w; the end of its log %s:\n%s", p.name, what, err, p.log, p.tail(r))
	}
	return fmt.Errorf("wait for %s to %s: %w", p.name, what, err)
}
