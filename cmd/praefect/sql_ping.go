package main

import (
	"context"
	"errors"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/config"
	"praefect/replicator/postgres"
)

// openTimeout bounds how long a sub-command waits for Postgres to be there.
const openTimeout = 30 * time.Second

func (p *program) sqlPing() *cli.Command {
	return &cli.Command{
		Name:   "sql-ping",
		Usage:  "check that Postgres can be reached and is recent enough",
		Action: p.withDatabase(func(context.Context, *cli.Command, *postgres.DB) error { return p.println("praefect sql-ping: OK") }),
	}
}

// withDatabase is the action of a command that takes no arguments. It calls do with the configured
// database once that has answered.
func (p *program) withDatabase(do func(context.Context, *cli.Command, *postgres.DB) error) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if err := noArguments(cmd); err != nil {
			return err
		}
		return p.openDatabase(ctx, cmd, func(ctx context.Context, db *postgres.DB) error { return do(ctx, cmd, db) })
	}
}

func (p *program) openDatabase(ctx context.Context, cmd *cli.Command, do func(context.Context, *postgres.DB) error) error {
	cfg, err := p.settings(ctx, cmd)
	if err != nil {
		return err
	}
	return p.withOpened(cfg, func(db *postgres.DB) error {
		opening, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		if _, err := db.Ping(opening); err != nil {
			return err
		}
		return do(ctx, db)
	})
}

// withOpened calls do with the configured database, which may be away.
func (p *program) withOpened(cfg *config.Config, do func(*postgres.DB) error) (err error) {
	db, err := postgres.Open(cfg.Database.DSN(), p.log(), postgres.Config{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return do(db)
}
