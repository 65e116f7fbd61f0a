package postgres

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"
)

// errNoSchema refuses a call that came before the migrations were applied.
var errNoSchema = errors.New("the schema is not up to date yet")

// serve is transact for work that uses the tables of our schema. Before the first such work it
// looks whether every migration is applied: a new instance has workers before another one has
// migrated, and their questions would fill the server's log with errors about missing tables.
func (db *DB) serve(caller context.Context, do work) error {
	err := db.transact(caller, func(ctx context.Context, tx *sql.Tx, repeated bool) error {
		if err := db.checkSchema(ctx, tx); err != nil {
			return err
		}
		return do(ctx, tx, repeated)
	})
	if notMigrated(err) {
		db.migrated.Store(false) // it was taken back
	}
	return err
}

// checkSchema returns errNoSchema unless every migration that this release knows is applied.
func (db *DB) checkSchema(ctx context.Context, tx *sql.Tx) error {
	if db.migrated.Load() {
		return nil
	}
	known, err := knownMigrations()
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(known))
	for _, m := range known {
		ids = append(ids, m.Id)
	}
	if is, err := hasRecords(ctx, tx); err != nil || !is {
		return cmp.Or(err, errNoSchema)
	}
	var applied int
	err = tx.QueryRowContext(ctx, "select count(*) from "+schema+"."+migrationsTable+" where id = any($1)", pq.Array(ids)).Scan(&applied)
	switch {
	case err != nil:
		return fmt.Errorf("look for migrations: %w", err)
	case applied < len(ids):
		return errNoSchema
	}
	db.migrated.Store(true)
	db.availability.hasTables()
	return nil
}
