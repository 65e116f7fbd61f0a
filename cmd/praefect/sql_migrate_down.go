package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v3"

	"praefect/replicator/postgres"
)

func (p *program) sqlMigrateDown() *cli.Command {
	return &cli.Command{
		Name:      "sql-migrate-down",
		Usage:     "take migrations of the schema in Postgres back",
		ArgsUsage: "N",
		Description: "What the tables hold that go is lost: replication jobs, which are found again, and\n" +
			"the numbers of repositories. An instance that starts brings the schema up to date.",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "f", Usage: "do it; without it only tells what would be done"}},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if cmd.Args().Len() != 1 {
				return errors.New("sql-migrate-down takes one argument: how many migrations to take back")
			}
			n, err := strconv.Atoi(cmd.Args().First())
			if err != nil || n < 1 {
				return fmt.Errorf("%q is no number of migrations: want 1 or more", cmd.Args().First())
			}
			return p.openDatabase(ctx, cmd, func(ctx context.Context, db *postgres.DB) error {
				return p.migrateDown(ctx, db, n, cmd.Bool("f"))
			})
		},
	}
}

func (p *program) migrateDown(ctx context.Context, db *postgres.DB, n int, do bool) error {
	if do {
		undone, err := db.MigrateDown(ctx, n)
		if err != nil {
			return err
		}
		return p.println(fmt.Sprintf("OK (applied %d \"down\" migrations)", undone))
	}
	plan, err := db.DownPlan(ctx, n)
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("DRY RUN -- would roll back:\n\n")
	for _, id := range plan {
		text.WriteString("- " + id + "\n")
	}
	text.WriteString("\nTo apply these migrations run with -f\n")
	return p.print(text.String())
}

func (p *program) sqlMigrateStatus() *cli.Command {
	return &cli.Command{
		Name:  "sql-migrate-status",
		Usage: "list the migrations of the schema in Postgres",
		Action: p.withDatabase(func(ctx context.Context, _ *cli.Command, db *postgres.DB) error {
			status, err := db.MigrationStatus(ctx)
			if err != nil {
				return err
			}
			return p.println(showMigrations(status))
		}),
	}
}

func showMigrations(status []postgres.Migration) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"MIGRATION", "APPLIED"})
	for _, m := range status {
		applied := "no"
		switch {
		case m.Unknown:
			applied = "unknown migration"
		case !m.AppliedAt.IsZero():
			applied = m.AppliedAt.String()
		}
		t.AppendRow(table.Row{m.ID, applied})
	}
	return t.Render()
}
