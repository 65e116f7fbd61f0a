package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// part is one piece of the daemon with a life of its own.
type part struct {
	name string
	// run blocks until ctx ends, and leaves no goroutine.
	run func(ctx context.Context) error
	// ready blocks until other parts may build on this one, or ctx ends. Nil:
	// at once.
	ready func(ctx context.Context) error
}

// runAll starts the parts in their order, each when the one before is ready,
// and stops them in reverse, each when the one after has ended. It stops at the
// end of ctx, or when a part ends by itself, which is an error.
func runAll(ctx context.Context, log *slog.Logger, parts []part) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var errs []error
	var ends []func() error
	for _, p := range parts {
		ends = append(ends, p.start(ctx, stop))
		if p.ready == nil {
			continue
		}
		if err := p.ready(ctx); err != nil {
			if ctx.Err() == nil {
				errs = append(errs, fmt.Errorf("%s: wait until it is ready: %w", p.name, err))
			}
			stop()
			break
		}
	}
	if ctx.Err() == nil {
		log.Info("praefect is up")
	}
	<-ctx.Done()
	log.Info("stopping")
	for i := len(ends) - 1; i >= 0; i-- {
		log.Debug("stopping a part", "part", parts[i].name)
		errs = append(errs, ends[i]())
	}
	return errors.Join(errs...)
}

var errEnded = errors.New("ended by itself")

// start runs the part in a goroutine of its own. If it ends before it is told
// to, it calls stop. The function that start returns ends the part, waits for
// it and returns its error.
func (p part) start(ctx context.Context, stop func()) func() error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := p.run(life)
		switch {
		case life.Err() == nil:
			if err == nil {
				err = errEnded
			}
			stop()
		case errors.Is(err, context.Canceled):
			err = nil // it says only that it was told to end
		}
		done <- err
	}()
	return func() error {
		end()
		if err := <-done; err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		return nil
	}
}
