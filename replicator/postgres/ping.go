package postgres

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
)

// oldestServer is the first version that lib/pq supports, as server_version_num counts.
const oldestServer = 14_00_00

// ErrServerTooOld means that the server's version is not supported.
var ErrServerTooOld = errors.New("postgres 14 or newer is required")

// Server has the facts that Ping learns of the server.
type Server struct {
	Version string // as it names itself
	Number  int    // 150018 is 15.18
}

// Ping asks the server for its version. An old one is ErrServerTooOld.
func (db *DB) Ping(ctx context.Context) (Server, error) {
	var server Server
	err := db.transact(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		return tx.QueryRowContext(ctx, `select current_setting('server_version'), current_setting('server_version_num')::int`).
			Scan(&server.Version, &server.Number)
	})
	if err != nil {
		return Server{}, fmt.Errorf("ping postgres: %w", err)
	}
	return server, server.supported()
}

func (s Server) supported() error {
	if s.Number < oldestServer {
		return fmt.Errorf("server version %s: %w", s.Version, ErrServerTooOld)
	}
	return nil
}

// Away says why the database could not be used by the last call, empty if it could. It makes no call.
func (db *DB) Away() string { return db.availability.away() }

// errProbed takes back the write of a probe.
var errProbed = errors.New("this was a probe")

// Probe asks the server to take a write, in the table of migrations, and takes it back.
func (db *DB) Probe(ctx context.Context) error {
	id := "probe-" + rand.Text() // two probes at once do not wait for each other
	err := db.transact(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		if _, err := tx.ExecContext(ctx, "insert into "+schema+"."+migrationsTable+" (id, applied_at) values ($1, now())", id); err != nil {
			return err
		}
		return errProbed
	})
	if errors.Is(err, errProbed) {
		return nil
	}
	return fmt.Errorf("write to postgres: %w", err)
}
