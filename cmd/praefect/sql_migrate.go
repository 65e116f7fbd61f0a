package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/replicator/postgres"
)

func (p *program) sqlMigrate() *cli.Command {
	return &cli.Command{
		Name:  "sql-migrate",
		Usage: "bring the schema in Postgres up to date",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "ignore-unknown", Value: true, Usage: "go on if the schema has migrations of a newer release"},
			&cli.BoolFlag{Name: "verbose", Usage: "name the migrations"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return p.withDatabase(ctx, cmd, func(ctx context.Context, db *postgres.DB) error {
				return p.migrate(ctx, db, cmd.Bool("ignore-unknown"), cmd.Bool("verbose"))
			})
		},
	}
}

func (p *program) migrate(ctx context.Context, db *postgres.DB, ignoreUnknown, verbose bool) error {
	before, err := db.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	pending := make(map[string]bool)
	for _, m := range before {
		if m.Unknown && !ignoreUnknown {
			return fmt.Errorf("the schema has migration %q, which this release does not know", m.ID)
		}
		if m.AppliedAt.IsZero() {
			pending[m.ID] = true
		}
	}
	if len(pending) == 0 {
		return p.println("praefect sql-migrate: all migrations are up")
	}
	if err := p.println(fmt.Sprintf("praefect sql-migrate: migrations to apply: %d", len(pending))); err != nil {
		return err
	}
	begun := time.Now()
	applied, err := db.Migrate(ctx)
	if err != nil {
		return err
	}
	if verbose {
		if err := p.nameMigrations(ctx, db, pending, time.Since(begun)); err != nil {
			return err
		}
	}
	return p.println(fmt.Sprintf("praefect sql-migrate: OK (applied %d migrations)", applied))
}

// nameMigrations names those that were pending and are applied now.
func (p *program) nameMigrations(ctx context.Context, db *postgres.DB, pending map[string]bool, took time.Duration) error {
	after, err := db.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	for _, m := range after {
		if !pending[m.ID] || m.AppliedAt.IsZero() {
			continue
		}
		line := fmt.Sprintf("== %s %s: applied (%v)", m.AppliedAt.UTC().Format(time.RFC3339), m.ID, took.Round(time.Millisecond))
		if err := p.println(line); err != nil {
			return err
		}
	}
	return nil
}
