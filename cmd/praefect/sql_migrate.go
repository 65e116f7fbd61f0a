package main

import (
	"context"
	"errors"
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
		Action: p.withDatabase(func(ctx context.Context, cmd *cli.Command, db *postgres.DB) error {
			return p.migrate(ctx, db, cmd.Bool("ignore-unknown"), cmd.Bool("verbose"))
		}),
	}
}

func (p *program) migrate(ctx context.Context, db *postgres.DB, ignoreUnknown, verbose bool) error {
	before, err := db.MigrationStatus(ctx)
	if err != nil {
		return err
	}
	pending := 0
	for _, m := range before {
		if m.Unknown && !ignoreUnknown {
			return fmt.Errorf("the schema has migration %q, which this release does not know", m.ID)
		}
		if m.AppliedAt.IsZero() {
			pending++
		}
	}
	if pending == 0 {
		return p.println("praefect sql-migrate: all migrations are up")
	}
	if pending == len(before) {
		if err := db.CheckUpstream(ctx); err != nil {
			return err
		}
	}
	if err := p.println(fmt.Sprintf("praefect sql-migrate: migrations to apply: %d", pending)); err != nil {
		return err
	}
	var told error // of telling
	applied, err := db.MigrateWith(ctx, func(id string) (applied func()) {
		begun := time.Now()
		say := func(line string) {
			if verbose {
				told = errors.Join(told, p.println(line))
			}
		}
		say(fmt.Sprintf("=  %s %s: migrating", begun.UTC().Format(time.RFC3339), id))
		return func() {
			say(fmt.Sprintf("== %s %s: applied (%v)", time.Now().UTC().Format(time.RFC3339), id, time.Since(begun).Round(time.Millisecond)))
		}
	})
	if err := errors.Join(err, told); err != nil {
		return err
	}
	return p.println(fmt.Sprintf("praefect sql-migrate: OK (applied %d migrations)", applied))
}
