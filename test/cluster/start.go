package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"praefect/test/postgres"
)

// startPostgres launches the server, or takes the one given, and makes the
// database.
func (c *Cluster) startPostgres(ctx context.Context) (err error) {
	if c.options.Postgres != nil {
		c.Postgres = c.options.Postgres
		c.DSN, err = c.Postgres.NewDatabase(ctx)
		return err
	}
	launch := postgres.Options{TLS: c.options.PostgresTLS, Detached: c.options.Detached}
	if launch.Place, err = c.options.Place(ctx, "postgres"); err != nil {
		return fmt.Errorf("find a place for postgres: %w", err)
	}
	if c.options.Detached {
		launch.Dir = filepath.Join(c.Dir, "postgres")
	}
	if c.Postgres, err = postgres.Launch(ctx, launch); err != nil {
		return err
	}
	if _, err := c.Postgres.SQL(ctx, "postgres", "create database praefect owner praefect"); err != nil {
		return err
	}
	c.DSN = c.Postgres.DSN("praefect")
	if c.options.WithoutPostgres {
		return c.Postgres.Stop(postgres.Fast)
	}
	c.options.Progress("postgres", c.Postgres.Addr())
	return nil
}

// startStorages starts all storages at once, then waits for each.
func (c *Cluster) startStorages(ctx context.Context) error {
	for _, v := range c.options.VirtualStorages {
		for _, name := range v.Storages {
			s, err := c.newStorage(ctx, v.Name, name)
			if err != nil {
				return err
			}
			c.Storages = append(c.Storages, s)
			if err := s.launch(ctx, c); err != nil {
				return err
			}
		}
	}
	for _, s := range c.Storages {
		if err := serving(ctx, s.WaitReady, func() error { return s.launch(ctx, c) }); err != nil {
			return c.options.Gitaly.explain(s, err)
		}
		c.options.Progress(s.Label(), s.Addr)
	}
	return nil
}

// serving waits for a process that was just started; one that ended because
// another process took its address in between is launched again, at another.
func serving(ctx context.Context, ready func(context.Context) error, launch func() error) error {
	const tries = 5
	for try := 1; ; try++ {
		err := ready(ctx)
		exit, ended := errors.AsType[*ExitError](err)
		if !ended || !addressTaken(exit) || try == tries {
			return err
		}
		if err := launch(); err != nil {
			return fmt.Errorf("start it again: %w", err)
		}
	}
}
