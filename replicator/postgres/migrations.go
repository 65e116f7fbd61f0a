package postgres

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	migrate "github.com/rubenv/sql-migrate"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migration is a change of the schema.
type Migration struct {
	ID        string
	AppliedAt time.Time // zero if it is not applied
	Unknown   bool      // applied by a newer release, which this one works beside
}

// MigrationStatus lists the migrations of this release and the ones that the database has besides, by their ids.
func (db *DB) MigrationStatus(ctx context.Context) ([]Migration, error) {
	known, err := knownMigrations()
	if err != nil {
		return nil, err
	}
	var applied map[string]time.Time
	err = db.transact(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		recorded, err := hasRecords(ctx, tx)
		if err == nil && recorded {
			applied, err = readRecords(ctx, tx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the status of migrations: %w", err)
	}
	var status []Migration
	for _, m := range known {
		status = append(status, Migration{ID: m.Id, AppliedAt: applied[m.Id]})
	}
	for _, id := range unknownIDs(known, applied) {
		status = append(status, Migration{ID: id, AppliedAt: applied[id], Unknown: true})
	}
	slices.SortFunc(status, func(a, b Migration) int { return cmp.Compare(a.ID, b.ID) })
	return status, nil
}

// DownPlan lists the migrations that MigrateDown would take back, in its order.
func (db *DB) DownPlan(ctx context.Context, n int) ([]string, error) {
	status, err := db.MigrationStatus(ctx)
	if err != nil {
		return nil, err
	}
	var plan []string
	for _, m := range slices.Backward(status) {
		switch {
		case len(plan) == n:
			return plan, nil
		case m.Unknown:
			return nil, fmt.Errorf("migration %q is of a newer release: take it back with that one", m.ID)
		case !m.AppliedAt.IsZero():
			plan = append(plan, m.ID)
		}
	}
	return plan, nil
}

// hasRecords tells whether there is a table of the migrations that were applied.
func hasRecords(ctx context.Context, tx *sql.Tx) (is bool, err error) {
	err = tx.QueryRowContext(ctx, "select to_regclass($1) is not null", schema+"."+migrationsTable).Scan(&is)
	return is, tried(err, "look for the table of migrations")
}

// readRecords returns when each migration was applied.
func readRecords(ctx context.Context, tx *sql.Tx) (map[string]time.Time, error) {
	records, err := query(ctx, tx, func(row *sql.Rows, m *Migration) error { return row.Scan(&m.ID, &m.AppliedAt) },
		"select id, applied_at from "+schema+"."+migrationsTable)
	applied := make(map[string]time.Time)
	for _, m := range records {
		applied[m.ID] = m.AppliedAt.UTC()
	}
	return applied, tried(err, "read the applied migrations")
}

// unknownIDs are the ids of applied migrations that this release does not know, in order.
func unknownIDs(known []*migrate.Migration, applied map[string]time.Time) []string {
	var unknown []string
	for id := range applied {
		if !slices.ContainsFunc(known, func(m *migrate.Migration) bool { return m.Id == id }) {
			unknown = append(unknown, id)
		}
	}
	slices.Sort(unknown)
	return unknown
}

// knownMigrations parses the embedded files, in their order.
func knownMigrations() ([]*migrate.Migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, fmt.Errorf("list the migrations: %w", err)
	}
	known := make([]*migrate.Migration, 0, len(names))
	for _, name := range names {
		file, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read migration %q: %w", name, err)
		}
		m, err := migrate.ParseMigration(path.Base(name), bytes.NewReader(file))
		if err != nil {
			return nil, fmt.Errorf("parse migration %q: %w", name, err)
		}
		known = append(known, m)
	}
	return known, nil
}
