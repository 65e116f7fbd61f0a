package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// ErrUpstream means that the database is one of an upstream Praefect whose storages keep repositories under other paths than
// clients name: everything would look lost from here.
var ErrUpstream = errors.New("the database is that of an upstream Praefect, and its repositories are not stored under their relative paths (public.repositories.replica_path): " +
	"taking over from it is not supported yet, and nothing was touched; to begin anew beside it give praefect a database of its own ([database] dbname) and storages of its own")

// CheckUpstream reports ErrUpstream if an upstream Praefect keeps repositories in this database under replica paths of its
// own. It only reads.
func (db *DB) CheckUpstream(ctx context.Context) error {
	var found bool
	var example, path string
	err := db.transact(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		found = false
		var there bool
		if err := tx.QueryRowContext(ctx, upstreamTableSQL).Scan(&there); err != nil || !there {
			return err
		}
		err := tx.QueryRowContext(ctx, upstreamRepositorySQL).Scan(&example, &path)
		found = err == nil
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("look for the repositories of an upstream Praefect: %w", err)
	case found:
		return fmt.Errorf("%q is stored as %q: %w", example, path, ErrUpstream)
	}
	return nil
}

// upstreamTableSQL looks for the column: older releases have none, and keep every repository under its relative path.
const upstreamTableSQL = `
select exists (select from pg_catalog.pg_attribute as a
	where a.attrelid = pg_catalog.to_regclass('public.repositories') and a.attname = 'replica_path' and not a.attisdropped)`

const upstreamRepositorySQL = `
select r.relative_path, r.replica_path from public.repositories as r
where r.replica_path is not null and r.replica_path <> r.relative_path limit 1`
