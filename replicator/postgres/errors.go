package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lib/pq"
	"github.com/lib/pq/pqerror"

	"praefect/replicator/queue"
)

// ErrUnavailable is queue.ErrUnavailable, for callers that have no queue: the database cannot be used now.
var ErrUnavailable = queue.ErrUnavailable

// kind is the meaning of an error of the database for us.
type kind int

const (
	kindOther       kind = iota // a bug, or a refusal by our own rules
	kindUnavailable             // try again later
	kindBroken                  // like it, and connections as old as this one are suspect too
	kindConflict                // rolled back because of another transaction: repeat at once
)

// kindOf sorts an error by the next step.
func kindOf(err error) kind {
	if _, ok := errors.AsType[connectError](err); ok || errors.Is(err, errNoSchema) {
		return kindUnavailable
	}
	if server, ok := errors.AsType[*pq.Error](err); ok {
		return kindOfCode(server.Code)
	}
	_, network := errors.AsType[net.Error](err)
	if network || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return kindBroken
	}
	return kindOther
}

func kindOfCode(code pqerror.Code) kind {
	switch code {
	case pqerror.ReadOnlySQLTransaction:
		return kindBroken // it was demoted, or told not to write: another host may have become the primary
	case pqerror.TRSerializationFailure, pqerror.TRDeadlockDetected:
		return kindConflict
	case pqerror.LockNotAvailable, pqerror.QueryCanceled: // our own bounds at the server
		return kindUnavailable
	}
	if schemaMissing(code) || code == pqerror.InvalidCatalogName {
		return kindUnavailable
	}
	switch code.Class() {
	case pqerror.ClassConnectionException, pqerror.ClassOperatorIntervention, pqerror.ClassSystemError:
		return kindBroken
	case pqerror.ClassInsufficientResources, pqerror.ClassInvalidAuthorizationSpecification:
		return kindUnavailable
	}
	return kindOther
}

// notMigrated tells whether our schema is not there, or not all of it.
func notMigrated(err error) bool {
	server, ok := errors.AsType[*pq.Error](err)
	return ok && schemaMissing(server.Code) || errors.Is(err, errNoSchema)
}

func schemaMissing(code pqerror.Code) bool {
	switch code {
	case pqerror.UndefinedTable, pqerror.UndefinedColumn, pqerror.InvalidSchemaName:
		return true
	}
	return false
}

// explain turns an error of a call into one that callers can act on. caller is the context that the caller gave, bound
// the one that ended the call at the latest.
func explain(caller, bound context.Context, err error) error {
	switch {
	case caller.Err() == nil && bound.Err() != nil:
		return fmt.Errorf("%w: no answer in time: %w", ErrUnavailable, err)
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer in time: %w: %w", ErrUnavailable, caller.Err(), err)
	case caller.Err() != nil:
		return fmt.Errorf("%w: %w", caller.Err(), err)
	case kindOf(err) != kindOther:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	default:
		return err
	}
}
