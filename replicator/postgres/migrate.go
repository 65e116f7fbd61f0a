package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
// for each other; a call that fails may be repeated. Migrations of a newer release are left alone. The database of an upstream
// Praefect that CheckUpstream refuses gets no schema: the error is ErrUpstream, and nothing was touched.
func (db *DB) Migrate(ctx context.Context) (applied int, err error) {
	return db.MigrateWith(ctx, func(string) (applied func()) { return func() {} })
}

// MigrateWith is Migrate for a watching caller: step is called before each migration with its id, and the function that it returns
// when the migration is applied. If nothing is pending it takes no lock.
func (db *DB) MigrateWith(ctx context.Context, step func(id string) (applied func())) (applied int, err error) {
	status, err := db.MigrationStatus(ctx)
	if err != nil {
		return 0, fmt.Errorf("migrate the schema: %w", err)
	}
	pending := make(map[string]bool)
	for _, m := range status {
		if m.Unknown {
			db.log.Warn("the schema has a migration of a newer release", "migration", m.ID)
		}
		pending[m.ID] = m.AppliedAt.IsZero()
	}
	if !slices.ContainsFunc(status, func(m Migration) bool { return !m.AppliedAt.IsZero() }) {
		if err := db.CheckUpstream(ctx); err != nil {
			return 0, err
		}
	}
	known, err := knownMigrations()
	if err != nil {
		return 0, err
	}
	known = slices.DeleteFunc(known, func(m *migrate.Migration) bool { return !pending[m.Id] })
	err = db.migrating(ctx, known, func(ctx context.Context, tx *sql.Tx, m *migrate.Migration) (func(), error) {
		if err := createSchema(ctx, tx); err != nil {
			return nil, err
		}
		if done, err := isApplied(ctx, tx, m.Id); done || err != nil {
			return func() {}, err // another instance was faster
		}
		done := step(m.Id)
		if err := execute(ctx, tx, m.Id, m.Up); err != nil {
			return nil, err
		}
		_, err := tx.ExecContext(ctx, "insert into "+schema+"."+migrationsTable+" (id, applied_at) values ($1, now())", m.Id)
		if err != nil {
			return nil, fmt.Errorf("record migration %q: %w", m.Id, err)
		}
		return func() { applied++; done() }, nil
	})
	return applied, err
}

// MigrateDown takes the last n migrations back and returns how many that were. It is refused if one of them is of a newer
// release, which alone knows the way back.
func (db *DB) MigrateDown(ctx context.Context, n int) (undone int, err error) {
	plan, err := db.DownPlan(ctx, n)
	if err != nil {
		return 0, err
	}
	known, err := knownMigrations()
	if err != nil {
		return 0, err
	}
	slices.Reverse(known)
	known = slices.DeleteFunc(known, func(m *migrate.Migration) bool { return !slices.Contains(plan, m.Id) })
	err = db.migrating(ctx, known, func(ctx context.Context, tx *sql.Tx, m *migrate.Migration) (func(), error) {
		if applied, err := isApplied(ctx, tx, m.Id); !applied || err != nil {
			return func() {}, err // another one was faster
		}
		if err := execute(ctx, tx, m.Id, m.Down); err != nil {
			return nil, err
		}
		if _, err := tx.ExecContext(ctx, "delete from "+schema+"."+migrationsTable+" where id = $1", m.Id); err != nil {
			return nil, fmt.Errorf("strike the record of migration %q: %w", m.Id, err)
		}
		return func() { undone++ }, nil
	})
	return undone, err
}

// oneMigration works on one migration in a transaction that holds the lock, and returns the function to call once that is
// committed.
type oneMigration func(context.Context, *sql.Tx, *migrate.Migration) (committed func(), err error)

// migrating works on migrations in their order, each in a transaction of its own. The lock is that transaction's: all
// happens on one connection, so that behind a PgBouncer with a pool of one connection an instance that waits for the
// lock takes none from the one that has it.
func (db *DB) migrating(ctx context.Context, migrations []*migrate.Migration, one oneMigration) error {
	if len(migrations) == 0 {
		return nil
	}
	bound, cancel := context.WithTimeout(ctx, db.config.MigrateTimeout)
	defer cancel()
	began := time.Now()
	// A connection of its own, whose transactions no statement_timeout ends.
	pool := db.newPool(bound, 1, prologue(0, migrateLockTimeout))
	var err error
	for _, m := range migrations {
		if err = db.locked(bound, pool, m, one); err != nil {
			break
		}
	}
	if err := errors.Join(err, pool.Close()); err != nil {
		return db.failed(ctx, bound, began, fmt.Errorf("migrate the schema: %w", err), false)
	}
	db.availability.note(began, nil)
	return nil
}

// Pauses between the tries of AwaitSchema, the first and the longest.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// AwaitSchema migrates as soon as the server lets it: it returns nil once Migrate has succeeded, or the context's error.
// A daemon runs it beside everything else. A fault other than an unavailable server is logged, once for each cause.
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
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (db *DB) locked(ctx context.Context, pool *sql.DB, m *migrate.Migration, one oneMigration) (err error) {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		if err != nil {
			err = rollBack(tx, err)
		}
	}()
	for _, statement := range []string{
		fmt.Sprintf("set local lock_timeout = %d", db.config.MigrateTimeout.Milliseconds()), // to wait for another instance
		fmt.Sprintf("select pg_advisory_xact_lock(%d)", int64(migrateLock)),
		fmt.Sprintf("set local lock_timeout = %d", migrateLockTimeout.Milliseconds()),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("wait for another instance: %w", err)
		}
	}
	committed, err := one(ctx, tx, m)
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit migration %q: %w", m.Id, err)
	}
	committed()
	return nil
}

// execute runs the statements of one migration.
func execute(ctx context.Context, tx *sql.Tx, id string, statements []string) error {
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("migration %q: %w", id, err)
		}
	}
	return nil
}

func isApplied(ctx context.Context, tx *sql.Tx, id string) (applied bool, err error) {
	err = tx.QueryRowContext(ctx, "select exists (select from "+schema+"."+migrationsTable+" where id = $1)", id).Scan(&applied)
	return applied, tried(err, "look for migration %q", id)
}

// createSchema makes the table in which the migrations are recorded. A schema that is there is not created even "if not exists",
// which needs a right on the database that its owner may have kept to himself.
func createSchema(ctx context.Context, tx *sql.Tx) error {
	var exists bool
	if err := tx.QueryRowContext(ctx, "select exists (select from pg_namespace where nspname = $1)", schema).Scan(&exists); err != nil {
		return fmt.Errorf("look for the schema %s: %w", schema, err)
	}
	if !exists {
		if _, err := tx.ExecContext(ctx, "create schema "+schema); err != nil {
			return fmt.Errorf("create the schema %s: %w", schema, err)
		}
	}
	_, err := tx.ExecContext(ctx, "create table if not exists "+schema+"."+migrationsTable+
		" (id text collate \"C\" primary key, applied_at timestamptz not null)")
	return tried(err, "create the table of migrations")
}
