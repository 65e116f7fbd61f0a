package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"praefect/fsm/state"
	"praefect/replicator/queue"
	"praefect/test/must"
	pgtest "praefect/test/postgres"
)

// shared is the server of all tests that do not stop or change theirs. Only TestMain sets it.
var shared *pgtest.Server

func TestMain(m *testing.M) {
	// Nobody kills the shared server: it need not wait for the disk.
	code := pgtest.Main(m, &shared, pgtest.Options{Settings: map[string]string{"fsync": "off"}})
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// newDatabase makes an empty database on the shared server.
func newDatabase(t testing.TB) (dsn string) {
	t.Helper()
	dsn, err := shared.NewDatabase(t.Context())
	must.Succeed(t, err)
	return dsn
}

// open opens a database whose log goes to the test, and closes it with the test.
func open(t testing.TB, dsn string, config Config) *DB {
	t.Helper()
	db, err := Open(dsn, slog.New(slog.DiscardHandler), config)
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, db.Close()) })
	return db
}

// migrated opens a database and brings it up to date.
func migrated(t testing.TB, dsn string, config Config) *DB {
	t.Helper()
	db := open(t, dsn, config)
	_, err := db.Migrate(t.Context())
	must.Succeed(t, err)
	return db
}

// launch starts a server for one test.
func launch(t testing.TB, options pgtest.Options) *pgtest.Server {
	t.Helper()
	server, err := pgtest.Launch(t.Context(), options)
	must.Succeed(t, err)
	t.Cleanup(func() { must.Succeed(t, server.Close()) })
	return server
}

const storage = "default"

func requests(paths ...string) []queue.Request {
	list := make([]queue.Request, len(paths))
	for i, path := range paths {
		list[i] = queue.Request{Key: state.Key{VirtualStorage: storage, RelativePath: path}}
	}
	return list
}

func claimOf(n int) queue.Claim {
	return queue.Claim{VirtualStorage: storage, Worker: "w", Limit: n, Lease: time.Hour}
}

func list(t testing.TB, q *Queue) []queue.Job {
	t.Helper()
	jobs, err := q.List(t.Context(), queue.ListFilter{})
	must.Succeed(t, err)
	return jobs
}

// await repeats a step until it says that it is done.
func await(t testing.TB, what string, step func() (done bool)) {
	t.Helper()
	limit, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !step() {
		select {
		case <-limit.Done():
			t.Fatalf("waited a minute for %s", what)
		case <-tick.C:
		}
	}
}

// lines is a slog.Handler that keeps the messages.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r.Message)
	return nil
}

func (l *lines) messages() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.list...)
}
