package postgres

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
	"praefect/test/must"
	pgtest "praefect/test/postgres"
)

// patience is far beyond the bounds of quick, and short of a test's.
const patience = 30 * time.Second

// quick bounds make a test of outages short. A slow machine may exceed them now and then without an outage.
func quick() Config {
	return Config{Timeout: time.Second, ConnectTimeout: time.Second / 2, MigrateTimeout: time.Second}
}

// wantChanges fails unless the log tells of changes only: down, up, down, … and up at the end.
func wantChanges(t *testing.T, log *lines) {
	t.Helper()
	got := log.messages()
	if len(got) == 0 || len(got)%2 != 0 {
		t.Errorf("logged %q, want one line for each change", got)
	}
	for i, message := range got {
		want := "is unavailable"
		if i%2 == 1 {
			want = "is available again"
		}
		if !strings.Contains(message, want) {
			t.Errorf("line %d of %q: want %q", i, got, want)
		}
	}
}

// wantUnavailable makes every kind of call and fails unless each is refused as unavailable within its bound.
func wantUnavailable(t *testing.T, db *DB, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, dequeue := q.Dequeue(ctx, claimOf(1))
	_, reclaim := q.Reclaim(ctx, "")
	_, list := q.List(ctx, queue.ListFilter{})
	_, migrate := db.Migrate(ctx)
	_, ping := db.Ping(ctx)
	for name, err := range map[string]error{
		"enqueue": q.Enqueue(ctx, requests("refused.git")),
		"dequeue": dequeue, "reclaim": reclaim, "list": list, "migrate": migrate, "ping": ping,
	} {
		if !errors.Is(err, ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
			t.Errorf("%s: got %v, want unavailable before the caller loses patience", name, err)
		}
	}
}

// awaitService waits until calls are served again.
func awaitService(t *testing.T, q *Queue) {
	t.Helper()
	await(t, "the database to be used again", func() bool {
		err := q.Enqueue(t.Context(), requests("served.git"))
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil
	})
}

// setReadOnly tells a server, which heeds it soon, whether transactions may write.
func setReadOnly(t *testing.T, server *pgtest.Server, value string) {
	t.Helper()
	_, err := server.SQL(t.Context(), "postgres", "alter system set default_transaction_read_only = "+value)
	must.Succeed(t, err)
	_, err = server.SQL(t.Context(), "postgres", "select pg_reload_conf()")
	must.Succeed(t, err)
}

func TestDB_outages(t *testing.T) {
	server := launch(t, pgtest.Options{})
	for _, outage := range []struct {
		name       string
		begin, end func(t *testing.T)
	}{
		{
			"stopped",
			func(t *testing.T) { must.Succeed(t, server.Stop(pgtest.Immediate)) },
			func(t *testing.T) { must.Succeed(t, server.Start(t.Context())) },
		},
		{
			"hung",
			func(t *testing.T) { must.Succeed(t, server.Pause()) },
			func(t *testing.T) { must.Succeed(t, server.Resume()) },
		},
		{
			"read-only",
			func(t *testing.T) { setReadOnly(t, server, "on") },
			func(t *testing.T) { setReadOnly(t, server, "off") },
		},
	} {
		t.Run(outage.name, func(t *testing.T) {
			dsn, err := server.NewDatabase(t.Context())
			must.Succeed(t, err)
			log := new(lines)
			db, err := Open(dsn, slog.New(log), quick())
			must.Succeed(t, err)
			t.Cleanup(func() { must.Succeed(t, db.Close()) })
			q := NewQueue(db)
			migrated(t, dsn, Config{})
			awaitService(t, q)

			outage.begin(t)
			await(t, "the outage to be felt", func() bool { return q.Enqueue(t.Context(), requests("probe.git")) != nil })
			wantUnavailable(t, db, q)
			outage.end(t)
			awaitService(t, q)

			if jobs := list(t, q); !slices.ContainsFunc(jobs, func(j queue.Job) bool { return j.RelativePath == "served.git" }) {
				t.Errorf("got jobs %+v, want those enqueued before", jobs)
			}
			wantChanges(t, log)
		})
	}
}

func TestDB_absentAtStart(t *testing.T) {
	server := launch(t, pgtest.Options{})
	dsn, err := server.NewDatabase(t.Context())
	must.Succeed(t, err)
	must.Succeed(t, server.Stop(pgtest.Fast))
	log := new(lines)
	db, err := Open(dsn, slog.New(log), quick())
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, db.Close()) })
	q := NewQueue(db)
	wantUnavailable(t, db, q)
	ready := make(chan error, 1)
	go func() { ready <- db.AwaitSchema(t.Context()) }()
	must.Succeed(t, server.Start(t.Context()))
	must.Succeed(t, <-ready)
	awaitService(t, q)
	wantChanges(t, log)
}

func TestQueue_beforeMigrationIsUnavailable(t *testing.T) {
	db := open(t, newDatabase(t), Config{})
	q := NewQueue(db)
	early := func() {
		t.Helper()
		err := q.Enqueue(t.Context(), requests("a.git"))
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
		if complaint, asked := errors.AsType[*pq.Error](err); asked { // it would stand in the server's log
			t.Errorf("the server was asked for a table that is not there: %v", complaint)
		}
	}
	early()
	_, err := db.Migrate(t.Context())
	must.Succeed(t, err)
	must.Succeed(t, q.Enqueue(t.Context(), requests("a.git")))
	all, err := db.MigrateDown(t.Context(), 100)
	must.Succeed(t, err)
	if err := q.Enqueue(t.Context(), requests("a.git")); all == 0 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v after %d migrations were taken back, want unavailable", err, all)
	}
	early() // it knows by now
}

func TestDB_callerWhoLosesPatienceSaysNothingOfTheServer(t *testing.T) {
	dsn := newDatabase(t)
	log := new(lines)
	db, err := Open(dsn, slog.New(log), Config{})
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, db.Close()) })
	_, err = db.Migrate(t.Context())
	must.Succeed(t, err)
	unlock := lockJobs(t, dsn)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = NewQueue(db).Enqueue(ctx, requests("a.git"))
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want unavailable because of the caller's deadline", err)
	}
	unlock()
	must.Succeed(t, NewQueue(db).Enqueue(t.Context(), requests("a.git")))
	if got := log.messages(); len(got) != 0 {
		t.Errorf("logged %q, want nothing", got)
	}
}

func TestDB_waitForALockIsBounded(t *testing.T) {
	dsn := newDatabase(t)
	config := Config{LockTimeout: 50 * time.Millisecond, Timeout: patience}
	q := NewQueue(migrated(t, dsn, config))
	lockJobs(t, dsn)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := q.Enqueue(ctx, requests("a.git")); !errors.Is(err, ErrUnavailable) || ctx.Err() != nil {
		t.Errorf("got %v, want unavailable long before the caller loses patience", err)
	}
}

// lockJobs locks the whole table in a transaction of its own until unlock, or the end of the test.
func lockJobs(t *testing.T, dsn string) (unlock func()) {
	t.Helper()
	db := open(t, dsn, Config{Timeout: time.Minute})
	tx, err := db.pool.BeginTx(context.WithoutCancel(t.Context()), nil)
	must.Succeed(t, err)
	_, err = tx.ExecContext(t.Context(), "lock table praefect_raft.jobs")
	must.Succeed(t, err)
	done := false
	unlock = func() {
		if !done {
			done = true
			must.Succeed(t, tx.Rollback())
		}
	}
	t.Cleanup(unlock)
	return unlock
}

func TestDB_tls(t *testing.T) {
	server := launch(t, pgtest.Options{TLS: true})
	dsn, err := server.NewDatabase(t.Context())
	must.Succeed(t, err)
	q := NewQueue(migrated(t, dsn, Config{}))
	must.Succeed(t, q.Enqueue(t.Context(), requests("a.git")))

	certificates := server.Certificates()
	readable := certificates.ClientKey + ".readable"
	key, err := os.ReadFile(certificates.ClientKey)
	must.Succeed(t, err)
	must.Succeed(t, os.WriteFile(readable, key, 0o600))
	must.Succeed(t, os.Chmod(readable, 0o644))
	for name, refused := range map[string]struct{ old, new, complaint string }{
		"without a certificate": {"sslcert='" + certificates.Client + "'", "sslcert='/nowhere'", "certificate"},
		"without TLS":           {"sslmode='verify-full'", "sslmode='disable'", "no encryption"},
		"other authority":       {"sslrootcert='" + certificates.CA + "'", "sslrootcert='" + certificates.Client + "'", "unknown authority"},
		"other host":            {"host='127.0.0.1'", "host='localhost'", "localhost"},
		"key that all can read": {certificates.ClientKey, readable, "permissions"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(dsn, refused.old) {
				t.Fatalf("no %q in %q", refused.old, dsn)
			}
			_, err := open(t, strings.ReplaceAll(dsn, refused.old, refused.new), Config{}).Ping(t.Context())
			if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), refused.complaint) {
				t.Errorf("got %v, want a refusal because of %q", err, refused.complaint)
			}
		})
	}
}

func TestDB_followsAFailover(t *testing.T) {
	old, successor := launch(t, pgtest.Options{}), launch(t, pgtest.Options{})
	oldDSN, err := old.NewDatabase(t.Context())
	must.Succeed(t, err)
	_, err = successor.NewDatabase(t.Context())
	must.Succeed(t, err)
	// One password for both, as a replica would have.
	_, password, _ := strings.Cut(oldDSN, "password='")
	password, _, _ = strings.Cut(password, "'")
	_, err = successor.SQL(t.Context(), "postgres", "alter role praefect password '"+password+"'")
	must.Succeed(t, err)
	setReadOnly(t, successor, "on")
	_, oldPort, _ := net.SplitHostPort(old.Addr())
	_, newPort, _ := net.SplitHostPort(successor.Addr())
	both := strings.NewReplacer("host='127.0.0.1'", "host='127.0.0.1,127.0.0.1'", "port='"+oldPort+"'", "port='"+oldPort+","+newPort+"'").Replace(oldDSN)
	db := migrated(t, both, Config{})
	q := NewQueue(db)
	must.Succeed(t, q.Enqueue(t.Context(), requests("old.git")))

	setReadOnly(t, old, "on")
	setReadOnly(t, successor, "off")
	await(t, "the successor to be used", func() bool {
		_, err := db.Migrate(t.Context())
		return err == nil && q.Enqueue(t.Context(), requests("new.git")) == nil && len(list(t, q)) == 1
	})
}
