package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/lib/pq"

	"praefect/replicator/queue"
)

// work is what a transaction does. It may run several times; repeated says that an earlier run may have been committed,
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
func (db *DB) transact(caller context.Context, work work) error {
	ctx, cancel := context.WithTimeout(caller, db.config.Timeout)
	defer cancel()
	unknown, broken, conflicts := false, 0, 0
	for {
		committed, err := db.once(ctx, work, unknown)
		if err == nil {
			db.availability.note(nil)
			return nil
		}
		unknown = unknown || committed == maybe
		switch kindOf(err) {
		case kindBroken:
			db.retire()
			broken++
		case kindConflict:
			conflicts++
		default:
			broken = brokenRuns
		}
		if ctx.Err() != nil {
			db.retire() // of a server that hangs no connection is worth keeping
		} else if broken < brokenRuns && conflicts < conflictRuns {
			continue
		}
		return db.failed(caller, ctx, err, unknown)
	}
}

// failed explains the last error of a call and notes what it says about the server.
func (db *DB) failed(caller, bound context.Context, err error, unknown bool) error {
	err = explain(caller, bound, err)
	switch {
	case caller.Err() != nil: // the caller's impatience says nothing about the server
	case errors.Is(err, ErrUnavailable):
		db.availability.note(err)
	default:
		db.availability.note(nil)
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
func (db *DB) once(ctx context.Context, work work, repeated bool) (fate, error) {
	tx, err := db.pool.BeginTx(ctx, nil)
	if err != nil {
		return never, fmt.Errorf("begin: %w", err)
	}
	if err := work(ctx, tx, repeated); err != nil {
		if rollback := tx.Rollback(); rollback != nil && kindOf(rollback) == kindOther && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, fmt.Errorf("roll back: %w", rollback))
		}
		return never, err
	}
	err = tx.Commit()
	if err == nil {
		return never, nil
	}
	return fateOf(ctx, err), fmt.Errorf("commit: %w", err)
}

// fateOf judges the error of a commit. database/sql refuses, with the context's error or ErrTxDone, what it never sent;
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
