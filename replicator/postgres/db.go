// Package postgres owns every SQL statement of the project and the connections that they run on:
// the schema praefect_raft, its migrations, the replication queue and the catalogue of repositories
// in it. It promises that no call outlives its bound, even if the server hangs, that nothing is
// written twice when a connection breaks, and that a server which is away, hung or read-only is an
// error that callers can go on with. The daemon and the commands open a DB; the replicator sees a
// queue.Queue.
package postgres

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

// Config bounds the work of a DB. The zero value of each field stands for its default.
type Config struct {
	// MaxOpen connections at once; callers beyond wait. Default 10.
	MaxOpen int
	// MaxLifetime of a connection: a balancer or a failover in front of Postgres is followed at least that fast. Default 5m.
	MaxLifetime time.Duration
	// MaxIdleTime of an unused connection. Default 1m.
	MaxIdleTime time.Duration
	// ConnectTimeout bounds the making of a connection, authentication included, unless the connection string has a
	// connect_timeout. Default 2s.
	ConnectTimeout time.Duration
	// Timeout bounds each call, from asking for a connection to the answer of the commit; the server gets the same bound
	// for each statement. Default 5s.
	Timeout time.Duration
	// LockTimeout bounds the wait for a lock inside a call. Default 2s.
	LockTimeout time.Duration
	// MigrateTimeout bounds Migrate, which also waits for another instance's. Default 5m.
	MigrateTimeout time.Duration
}

func (c Config) withDefaults() Config {
	set := func(field *time.Duration, value time.Duration) {
		if *field <= 0 {
			*field = value
		}
	}
	if c.MaxOpen <= 0 {
		c.MaxOpen = 10
	}
	set(&c.MaxLifetime, 5*time.Minute)
	set(&c.MaxIdleTime, time.Minute)
	set(&c.ConnectTimeout, 2*time.Second)
	set(&c.Timeout, 5*time.Second)
	set(&c.LockTimeout, 2*time.Second)
	set(&c.MigrateTimeout, 5*time.Minute)
	return c
}

// DB is a pool of connections to one database. Its methods may be called concurrently.
type DB struct {
	config       Config
	driver       pq.Config
	pool         *sql.DB
	generation   *atomic.Uint64 // of connections: raised, it retires all that are older
	availability *availability
	migrated     atomic.Bool // every migration was seen applied
	log          *slog.Logger
}

// Open reads the connection string, in lib/pq's form, and returns a DB. It connects to nothing: a server that is away is
// found out by the first call, and one that comes later is used then. Unless the string says otherwise, only a server
// that accepts writes is used, so that several hosts can be named.
func Open(dsn string, log *slog.Logger, config Config) (*DB, error) {
	driver, err := pq.NewConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("read the connection string: %w", err)
	}
	config = config.withDefaults()
	if driver.ConnectTimeout <= 0 {
		driver.ConnectTimeout = config.ConnectTimeout
	}
	if driver.TargetSessionAttrs == "" {
		driver.TargetSessionAttrs = pq.TargetSessionAttrsReadWrite
	}
	if driver.ApplicationName == "" {
		driver.ApplicationName = "praefect"
	}
	db := &DB{
		config: config, driver: driver, generation: new(atomic.Uint64),
		availability: newAvailability(log), log: log,
	}
	db.pool = db.newPool(context.Background(), config.MaxOpen, prologue(config.Timeout, config.LockTimeout)+planner)
	return db, nil
}

// newPool returns a pool whose transactions open with the given statements, and whose connections break when ctx ends.
func (db *DB) newPool(ctx context.Context, size int, prologue string) *sql.DB {
	pool := sql.OpenDB(&connector{
		config: db.driver, prologue: prologue, life: ctx, generation: db.generation,
	})
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxLifetime(db.config.MaxLifetime)
	pool.SetConnMaxIdleTime(db.config.MaxIdleTime)
	return pool
}

// prologue opens a transaction and sets its bounds at the server, in one round trip. SET LOCAL rather than parameters of
// the connection, so that a PgBouncer in between need not know them. A plain BEGIN leaves it to the server whether writes
// are allowed.
func prologue(statement, lock time.Duration) string {
	return fmt.Sprintf("begin; set local statement_timeout = %[1]d; set local idle_in_transaction_session_timeout = %[1]d; "+
		"set local lock_timeout = %[2]d", statement.Milliseconds(), lock.Milliseconds())
}

// planner makes the server use the indexes that are made for each query. With statistics that it took when the queue was
// short it might otherwise sort a long one for each claim; and compiling such small queries is never worth it.
const planner = "; set local enable_seqscan = off; set local enable_bitmapscan = off; set local jit = off"

// Close gives up all connections. Calls after it fail.
func (db *DB) Close() error {
	return tried(db.pool.Close(), "close the connections to postgres")
}

// retire makes all connections of the pool unfit for further use. Connections of a server that was demoted, or of one that is
// no longer there, are not tried again one by one.
func (db *DB) retire() { db.generation.Add(1) }
