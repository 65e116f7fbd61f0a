package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	migrate "github.com/rubenv/sql-migrate"
)

const (
	schema          = "praefect_raft"
	migrationsTable = "schema_migrations"
	// migrateLock is the key of the advisory lock that keeps two instances from migrating at once: "praefect" in ASCII.
	migrateLock = 0x7072616566656374
	// migrateLockTimeout bounds how long a migration waits for a table, and others behind it.
	migrateLockTimeout = 5 * time.Second
)

// Migrate brings the schema up to date and returns how many migrations it applied. Instances that start together wait
// for each other; a call that fails may be repeated. Migrations of a newer release are left alone.
func (db *DB) Migrate(ctx context.Context) (applied int, err error) {
	return db.MigrateWith(ctx, func(string) (applied func()) { return func() {} })
}

// MigrateWith is Migrate for somebody who watches: step is called before each migration with its id, and what it returns
// when the migration is applied.
func (db *DB) MigrateWith(ctx context.Context, step func(id string) (applied func())) (applied int, err error) {
	err = db.migrating(ctx, func(ctx context.Context, pool *sql.DB) (err error) {
		applied, err = db.migrate(ctx, pool, step)
		return err
	})
	return applied, err
}

// MigrateDown takes the last n migrations back and returns how many that were. It is refused if one of them is of a newer
// release, which alone knows the way back.
func (db *DB) MigrateDown(ctx context.Context, n int) (undone int, err error) {
	err = db.migrating(ctx, func(ctx context.Context, pool *sql.DB) (err error) {
		undone, err = db.migrateDown(ctx, pool, n)
		return err
	})
	return undone, err
}

// migrating does work while a transaction on another connection holds the lock.
func (db *DB) migrating(ctx context.Context, work func(context.Context, *sql.DB) error) error {
	bound, cancel := context.WithTimeout(ctx, db.config.MigrateTimeout)
	defer cancel()
	// Connections of its own, that break when the time is up: sql-migrate takes no context for some of what it does.
	pool := db.newPool(bound, 2, prologue(0, migrateLockTimeout))
	err := errors.Join(db.locked(bound, pool, work), pool.Close())
	if err != nil {
		return db.failed(ctx, bound, fmt.Errorf("migrate the schema: %w", err), false)
	}
	db.availability.note(nil)
	return nil
}

// Pauses between the tries of AwaitSchema, the first and the longest.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// AwaitSchema migrates as soon as the server lets it: it returns nil once Migrate has succeeded, or the context's error.
// A daemon runs it beside everything else. What is wrong other than an unavailable server is logged, once for each cause.
func (db *DB) AwaitSchema(ctx context.Context) error {
	logged := ""
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		_, err := db.Migrate(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil && !errors.Is(err, ErrUnavailable) && err.Error() != logged {
			logged = err.Error()
			db.log.Error("the schema of postgres cannot be brought up to date: repair waits", "err", err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

func (db *DB) locked(ctx context.Context, pool *sql.DB, work func(context.Context, *sql.DB) error) (err error) {
	lock, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			err = rollBack(lock, err)
		} else if err = lock.Commit(); err != nil {
			err = fmt.Errorf("release the lock: %w", err)
		}
	}()
	patience := fmt.Sprintf("set local lock_timeout = %d", db.config.MigrateTimeout.Milliseconds())
	if _, err := lock.ExecContext(ctx, patience); err != nil {
		return fmt.Errorf("prepare to wait for another instance: %w", err)
	}
	if _, err := lock.ExecContext(ctx, "select pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
		return fmt.Errorf("wait for another instance: %w", err)
	}
	return work(ctx, pool)
}

func (db *DB) migrate(ctx context.Context, pool *sql.DB, step func(id string) (applied func())) (applied int, err error) {
	if err := createSchema(ctx, pool); err != nil {
		return 0, err
	}
	records, err := readRecords(ctx, pool)
	if err != nil {
		return 0, err
	}
	known, err := knownMigrations()
	if err != nil {
		return 0, err
	}
	var pending []string
	for _, m := range known {
		if _, done := records[m.Id]; !done {
			pending = append(pending, m.Id)
		}
	}
	for _, foreign := range foreignIDs(known, records) {
		db.log.Warn("the schema has a migration of a newer release", "migration", foreign)
		// As one without statements it keeps the library's reckoning right, which else stops at what it does not know.
		known = append(known, &migrate.Migration{Id: foreign})
	}
	for _, id := range pending {
		done := step(id)
		if _, err := apply(ctx, pool, known, migrate.Up, 1); err != nil {
			return applied, err
		}
		applied++
		done()
	}
	return applied, nil
}

func (db *DB) migrateDown(ctx context.Context, pool *sql.DB, n int) (int, error) {
	plan, err := db.DownPlan(ctx, n)
	if err != nil || len(plan) == 0 {
		return 0, err
	}
	known, err := knownMigrations()
	if err != nil {
		return 0, err
	}
	return apply(ctx, pool, known, migrate.Down, len(plan))
}

// apply applies up to n migrations, or takes them back, and returns how many it did.
func apply(ctx context.Context, pool *sql.DB, known []*migrate.Migration, direction migrate.MigrationDirection, n int) (int, error) {
	set := migrate.MigrationSet{SchemaName: schema, TableName: migrationsTable, DisableCreateTable: true}
	applied, err := set.ExecMaxContext(ctx, pool, "postgres", migrate.MemoryMigrationSource{Migrations: known}, direction, n)
	if failed, ok := errors.AsType[*migrate.TxError](err); ok { // it does not unwrap
		err = fmt.Errorf("migration %q: %w", failed.Migration.Id, failed.Err)
	}
	if err != nil {
		return applied, fmt.Errorf("apply: %w", err)
	}
	return applied, nil
}

// createSchema makes what the migrations are recorded in. A schema that is there is not created even "if not exists",
// which needs a right on the database that its owner may have kept to himself.
func createSchema(ctx context.Context, pool *sql.DB) (err error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			err = rollBack(tx, err)
		}
	}()
	var exists bool
	if err := tx.QueryRowContext(ctx, "select exists (select from pg_namespace where nspname = $1)", schema).Scan(&exists); err != nil {
		return fmt.Errorf("look for the schema %s: %w", schema, err)
	}
	if !exists {
		if _, err := tx.ExecContext(ctx, "create schema "+schema); err != nil {
			return fmt.Errorf("create the schema %s: %w", schema, err)
		}
	}
	if _, err := tx.ExecContext(ctx, "create table if not exists "+schema+"."+migrationsTable+
		" (id text collate \"C\" primary key, applied_at timestamptz not null)"); err != nil {
		return fmt.Errorf("create the table of migrations: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
