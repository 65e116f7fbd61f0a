package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
)

// work is the content of a transaction. It may run several times; repeated says that an earlier run may have been committed,
// so that it must look before it writes, by an id of its own, unless writing twice is the same as writing once.
type work func(ctx context.Context, tx *sql.Tx, repeated bool) error

// Bounds of repetition: a broken connection is worth one other, a conflict between transactions a few.
const (
	brokenRuns   = 2
	conflictRuns = 5
)

// transact runs work in a transaction and commits it. This is the only way to the server: a statement outside an explicit
// transaction would silently be repeated by database/sql when its connection breaks. A run that broke is repeated on
// another connection; when that fails too the error says whether a commit may have been executed.
func (db *DB) transact(caller context.Context, do work) error {
	ctx, cancel := context.WithTimeout(caller, db.config.Timeout)
	defer cancel()
	began := time.Now()
	unknown, broken, conflicts := false, 0, 0
	for {
		fate, err := db.once(ctx, do, unknown)
		if err == nil {
			db.availability.note(began, nil)
			return nil
		}
		unknown = unknown || fate == maybe
		again := false
		switch kind := kindOf(err); {
		case caller.Err() != nil: // the connection was cut because the caller has gone
		case ctx.Err() != nil:
			db.retire() // of a server that hangs no connection is worth keeping
		case kind == kindBroken:
			db.retire()
			broken++
			again = broken < brokenRuns
		case kind == kindConflict:
			conflicts++
			again = conflicts < conflictRuns
		}
		if !again {
			return db.failed(caller, ctx, began, err, unknown)
		}
	}
}

// failed explains the last error of a call that began at that time, and notes its meaning for the server.
func (db *DB) failed(caller, bound context.Context, began time.Time, err error, unknown bool) error {
	err = explain(caller, bound, err)
	switch {
	case caller.Err() != nil: // the caller's impatience says nothing about the server
	case errors.Is(err, ErrUnavailable):
		db.availability.note(began, err)
	default:
		db.availability.note(began, nil)
	}
	if unknown {
		err = fmt.Errorf("%w: %w", queue.ErrOutcomeUnknown, err)
	}
	return err
}

// fate says whether a transaction that ended in an error may have been committed.
type fate bool

const (
	never fate = false
	maybe fate = true
)

// once runs work in one transaction.
func (db *DB) once(ctx context.Context, do work, repeated bool) (fate, error) {
	tx, err := db.pool.BeginTx(ctx, nil)
	if err != nil {
		return never, fmt.Errorf("begin: %w", err)
	}
	if err := do(ctx, tx, repeated); err != nil {
		return never, rollBack(tx, err)
	}
	err = tx.Commit()
	if err == nil {
		return never, nil
	}
	return fateOf(ctx, err), fmt.Errorf("commit: %w", err)
}

// rollBack ends a transaction because of an error, beside which it keeps its own: unless that says only that the
// transaction, or the connection, is no more.
func rollBack(tx *sql.Tx, cause error) error {
	err := tx.Rollback()
	if err == nil || errors.Is(err, sql.ErrTxDone) || kindOf(err) == kindBroken {
		return cause
	}
	return errors.Join(cause, fmt.Errorf("roll back: %w", err))
}

// fateOf judges the error of a commit. database/sql refuses, with the context's error or ErrTxDone, a commit that it never sent;
// an error of the server means that it rolled back; after anything else we do not know.
func fateOf(ctx context.Context, err error) fate {
	if _, answered := errors.AsType[*pq.Error](err); answered {
		return never
	}
	if err == ctx.Err() || errors.Is(err, sql.ErrTxDone) || errors.Is(err, pq.ErrInFailedTransaction) {
		return never
	}
	return maybe
}
