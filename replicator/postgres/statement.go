package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// scan reads one row into a value.
type scan[T any] func(row *sql.Rows, into *T) error

// fetch runs one statement that may be repeated in a transaction, and returns its rows.
func fetch[T any](ctx context.Context, db *DB, read scan[T], statement string, args ...any) ([]T, error) {
	return served(ctx, db, func(ctx context.Context, tx *sql.Tx, _ bool) ([]T, error) {
		return query(ctx, tx, read, statement, args...)
	})
}

// served returns what work in a transaction found, nothing after an error; see serve.
func served[T any](ctx context.Context, db *DB, do func(ctx context.Context, tx *sql.Tx, repeated bool) (T, error)) (found T, err error) {
	err = db.serve(ctx, func(ctx context.Context, tx *sql.Tx, repeated bool) (err error) {
		found, err = do(ctx, tx, repeated)
		return err
	})
	if err != nil {
		return *new(T), err
	}
	return found, nil
}

// change runs one statement that may be repeated in a transaction, and returns how many rows it changed.
func (db *DB) change(ctx context.Context, statement string, args ...any) (int, error) {
	return served(ctx, db, func(ctx context.Context, tx *sql.Tx, _ bool) (int, error) {
		return affected(ctx, tx, statement, args...)
	})
}

// row runs one statement that may be repeated in a transaction and yields one row, into the values.
func (db *DB) row(ctx context.Context, values []any, statement string, args ...any) error {
	return db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		return tx.QueryRowContext(ctx, statement, args...).Scan(values...)
	})
}

// query returns the rows that a statement yields.
func query[T any](ctx context.Context, tx *sql.Tx, read scan[T], statement string, args ...any) ([]T, error) {
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	var all []T
	for rows.Next() {
		var one T
		if err := read(rows, &one); err != nil {
			return nil, errors.Join(fmt.Errorf("read a row: %w", err), rows.Close())
		}
		all = append(all, one)
	}
	return all, rows.Err() // Next closed them
}

// affected returns how many rows a statement changed.
func affected(ctx context.Context, tx *sql.Tx, statement string, args ...any) (int, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// tried says of an error what was tried; of none it says nothing.
func tried(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}
