package postgres

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"praefect/fsm/state"
	"praefect/replicator/queue"
	"praefect/test/must"
)

// ours are the migrations of this release, each followed by a word.
func ours(t *testing.T, word string) []string {
	t.Helper()
	known, err := knownMigrations()
	must.Succeed(t, err)
	var list []string
	for _, m := range known {
		list = append(list, m.Id+word)
	}
	return list
}

func TestDB_migrateOnce(t *testing.T) {
	db := open(t, newDatabase(t), Config{})
	wantStatus(t, db, ours(t, " no")...)
	n, err := db.Migrate(t.Context())
	must.Succeed(t, err)
	if n != len(ours(t, "")) {
		t.Errorf("applied %d migrations, want %d", n, len(ours(t, "")))
	}
	wantStatus(t, db, ours(t, " yes")...)
	if n, err = db.Migrate(t.Context()); n != 0 || err != nil {
		t.Errorf("the second run: got %d, %v, want nothing to do", n, err)
	}
}

func TestDB_migrateAtOnce(t *testing.T) {
	dsn := newDatabase(t)
	var applied atomic.Int64
	var all sync.WaitGroup
	for range 6 {
		db := open(t, dsn, Config{})
		all.Go(func() {
			n, err := db.Migrate(t.Context())
			if err != nil {
				t.Error(err)
			}
			applied.Add(int64(n))
		})
	}
	all.Wait()
	if want := int64(len(ours(t, ""))); applied.Load() != want {
		t.Errorf("%d migrations were applied, want %d", applied.Load(), want)
	}
}

// An instance that finds nothing to do waits for no other one.
func TestDB_migrateTakesNoLockIfNothingIsPending(t *testing.T) {
	dsn := newDatabase(t)
	migrated(t, dsn, Config{})
	other := open(t, dsn, Config{Timeout: time.Minute})
	tx, err := other.pool.BeginTx(t.Context(), nil)
	must.Succeed(t, err)
	_, err = tx.ExecContext(t.Context(), "select pg_advisory_xact_lock($1)", int64(migrateLock))
	must.Succeed(t, err)
	if n, err := open(t, dsn, Config{}).Migrate(t.Context()); n != 0 || err != nil {
		t.Errorf("got %d, %v, want nothing to do", n, err)
	}
	must.Succeed(t, tx.Rollback())
}

// Behind a PgBouncer in transaction mode, three instances share one connection to the server.
func TestDB_migrateBehindPgBouncer(t *testing.T) {
	for _, pool := range []int{1, 2} {
		bouncer, err := shared.LaunchBouncer(t.Context(), newDatabase(t), pool)
		must.Succeed(t, err)
		var applied atomic.Int64
		var all sync.WaitGroup
		var dbs []*DB
		for range 3 {
			dbs = append(dbs, open(t, bouncer.DSN(), Config{Timeout: time.Minute}))
		}
		for _, db := range dbs {
			all.Go(func() {
				n, err := db.Migrate(t.Context())
				if err != nil {
					t.Errorf("pool of %d: %v", pool, err)
				}
				applied.Add(int64(n))
			})
		}
		all.Wait()
		if known, err := knownMigrations(); err != nil || applied.Load() != int64(len(known)) {
			t.Errorf("pool of %d: %d migrations were applied, want %d (%v)", pool, applied.Load(), len(known), err)
		}
		for _, db := range dbs { // and the queue works
			q := NewQueue(db)
			must.Succeed(t, q.Enqueue(t.Context(), []queue.Request{{Key: state.Key{VirtualStorage: "default", RelativePath: "a.git"}}}))
		}
		jobs, err := NewQueue(dbs[0]).Dequeue(t.Context(), queue.Claim{VirtualStorage: "default", Limit: 10, Worker: "w", Lease: time.Minute})
		if err != nil || len(jobs) != 1 {
			t.Errorf("pool of %d: claimed %v, %v, want the one job", pool, jobs, err)
		}
		for _, db := range dbs {
			must.Succeed(t, db.Close())
		}
		must.Succeed(t, bouncer.Close())
	}
}

func TestDB_migrateWaitsWithinItsBound(t *testing.T) {
	dsn := newDatabase(t)
	other := open(t, dsn, Config{Timeout: time.Minute})
	tx, err := other.pool.BeginTx(t.Context(), nil)
	must.Succeed(t, err)
	_, err = tx.ExecContext(t.Context(), "select pg_advisory_xact_lock($1)", int64(migrateLock))
	must.Succeed(t, err)
	db := open(t, dsn, Config{MigrateTimeout: time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := db.Migrate(ctx); !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("got %v while another instance migrates, want unavailable", err)
	}
	must.Succeed(t, tx.Rollback())
	_, err = open(t, dsn, Config{}).Migrate(t.Context())
	must.Succeed(t, err)
}

func TestDB_migrateToleratesANewerRelease(t *testing.T) {
	dsn := newDatabase(t)
	log := new(lines)
	db, err := Open(dsn, slog.New(log), Config{})
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, db.Close()) })
	_, err = db.Migrate(t.Context())
	must.Succeed(t, err)
	// The newer release has applied its own migrations, and one of ours, between them, is to apply.
	for _, statement := range []string{
		"insert into praefect_raft.schema_migrations values ('0000_theirs.sql', now()), ('9999_theirs.sql', now())",
		"drop table praefect_raft.jobs",
		"delete from praefect_raft.schema_migrations where id = '0001_jobs.sql'",
	} {
		_, err := db.pool.ExecContext(t.Context(), statement)
		must.Succeed(t, err)
	}
	n, err := db.Migrate(t.Context())
	must.Succeed(t, err)
	if n != 1 {
		t.Errorf("applied %d, want our own", n)
	}
	wantStatus(t, db, slices.Concat([]string{"0000_theirs.sql unknown"}, ours(t, " yes"), []string{"9999_theirs.sql unknown"})...)
	if got := log.messages(); len(got) != 2 || !strings.Contains(got[0], "newer release") {
		t.Errorf("logged %q, want a warning for each", got)
	}
}

func TestDB_migrateStaysInItsSchema(t *testing.T) {
	db := open(t, newDatabase(t), Config{})
	for _, statement := range []string{
		"create table public.schema_migrations (id text primary key, applied_at timestamptz)",
		"insert into public.schema_migrations values ('0001_jobs.sql', now())",
		"create table public.jobs (theirs int)",
	} {
		_, err := db.pool.ExecContext(t.Context(), statement)
		must.Succeed(t, err)
	}
	if n, err := db.Migrate(t.Context()); n != len(ours(t, "")) || err != nil {
		t.Errorf("got %d, %v, want our migrations applied beside theirs", n, err)
	}
	var names string
	must.Succeed(t, db.pool.QueryRowContext(t.Context(), `select string_agg(schemaname || '.' || tablename, ' ' order by schemaname, tablename)
		from pg_tables where schemaname in ('public', 'praefect_raft')`).Scan(&names))
	want := "praefect_raft.claims praefect_raft.jobs praefect_raft.repositories praefect_raft.schema_migrations praefect_raft.verification_steps praefect_raft.verifications public.jobs public.schema_migrations"
	if names != want {
		t.Errorf("got tables %q, want %q", names, want)
	}
}

func TestMigrations_haveAWayBack(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{})
	known, err := knownMigrations()
	must.Succeed(t, err)
	for _, m := range known {
		if m.DisableTransactionUp || m.DisableTransactionDown {
			t.Errorf("%s asks for no transaction, and gets one", m.Id)
		}
	}
	n, err := db.MigrateDown(t.Context(), 1)
	must.Succeed(t, err)
	if n != 1 {
		t.Errorf("took back %d, want 1", n)
	}
	var status, want []string
	for i, m := range known {
		state := " yes"
		if i == len(known)-1 {
			state = " no"
		}
		status = append(status, m.Id+state)
		want = append(want, "begin "+m.Id, "end "+m.Id)
	}
	wantStatus(t, db, status...)
	n, err = db.MigrateDown(t.Context(), 100)
	must.Succeed(t, err)
	if n != len(known)-1 {
		t.Errorf("took back %d, want the other %d", n, len(known)-1)
	}
	var steps []string
	n, err = db.MigrateWith(t.Context(), func(id string) func() {
		steps = append(steps, "begin "+id)
		return func() { steps = append(steps, "end "+id) }
	})
	if n != len(known) || err != nil {
		t.Errorf("again: got %d, %v, want %d", n, err, len(known))
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestDB_migrateDownLeavesANewerReleaseAlone(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{})
	_, err := db.pool.ExecContext(t.Context(), "insert into praefect_raft.schema_migrations values ('9999_theirs.sql', now())")
	must.Succeed(t, err)
	if n, err := db.MigrateDown(t.Context(), 1); n != 0 || err == nil || !strings.Contains(err.Error(), "9999_theirs.sql") {
		t.Errorf("got %d, %v, want a refusal", n, err)
	}
	wantStatus(t, db, append(ours(t, " yes"), "9999_theirs.sql unknown")...)
}

func TestDB_migrateReportsWhatIsWrong(t *testing.T) {
	db := open(t, newDatabase(t), Config{})
	for _, statement := range []string{"create schema praefect_raft", "create table praefect_raft.jobs (id int)"} {
		_, err := db.pool.ExecContext(t.Context(), statement)
		must.Succeed(t, err)
	}
	_, err := db.Migrate(t.Context())
	if err == nil || errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), `"0001_jobs.sql"`) || !strings.Contains(err.Error(), "already exists") {
		t.Errorf("got %v, want the migration and the server's complaint", err)
	}
}

func TestDB_awaitSchemaGoesOnUntilItMayMigrate(t *testing.T) {
	dsn := newDatabase(t)
	log := new(lines)
	db, err := Open(dsn, slog.New(log), Config{})
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, db.Close()) })
	for _, statement := range []string{"create schema praefect_raft", "create table praefect_raft.jobs (id int)"} {
		_, err := db.pool.ExecContext(t.Context(), statement)
		must.Succeed(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- db.AwaitSchema(ctx) }()
	await(t, "the complaint", func() bool { return len(log.messages()) > 0 })
	cancel()
	if err := <-stopped; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	_, err = db.pool.ExecContext(t.Context(), "drop table praefect_raft.jobs")
	must.Succeed(t, err)
	must.Succeed(t, db.AwaitSchema(t.Context()))
	if got := log.messages(); len(got) != 1 {
		t.Errorf("logged %q, want one line for one cause", got)
	}
}

// wantStatus compares lines of an id and whether it is applied.
func wantStatus(t *testing.T, db *DB, want ...string) {
	t.Helper()
	status, err := db.MigrationStatus(t.Context())
	must.Succeed(t, err)
	var got []string
	for _, m := range status {
		word := "yes"
		switch {
		case m.Unknown:
			word = "unknown"
		case m.AppliedAt.IsZero():
			word = "no"
		}
		got = append(got, m.ID+" "+word)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}
