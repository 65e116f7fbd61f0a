package storage

import (
	"errors"
	"fmt"
	"syscall"
)

// ErrUnreachable is matched by every error of Set.Conn that a later attempt may
// not find again.
var ErrUnreachable = errors.New("storage is unreachable")

// ErrUnknown is the error of Set for a storage that it was not given.
var ErrUnknown = errors.New("unknown storage")

// errSilent is in why a connection was given up over which nothing came any more.
var errSilent = errors.New("nothing was heard")

// UnreachableError says why there is no connection to a storage.
type UnreachableError struct {
	Target Target
	// Cause is the error that ended the last connection or the last attempt to make one.
	Cause error
}

func unreachable(target Target, cause error) *UnreachableError {
	return &UnreachableError{Target: target, Cause: cause}
}

// Error implements error. It names no token.
func (e *UnreachableError) Error() string {
	return fmt.Sprintf("storage %q of virtual storage %q (%s) is unreachable: %v",
		e.Target.Storage, e.Target.VirtualStorage, e.Target.Address, e.Cause)
}

// Is reports that e is an ErrUnreachable.
func (e *UnreachableError) Is(target error) bool { return target == ErrUnreachable }

// Unwrap returns the cause.
func (e *UnreachableError) Unwrap() error { return e.Cause }

// dialError says why no connection was made.
type dialError struct {
	cause error
	// answered tells that the storage said something, if nothing useful.
	answered bool
	// host tells that the storage's host answered, whether the storage did or not.
	host bool
	// notSpoken tells that a server was there that does not speak the backchannel.
	notSpoken bool
}

// Error implements error.
func (e *dialError) Error() string { return e.cause.Error() }

// Unwrap returns the cause.
func (e *dialError) Unwrap() error { return e.cause }

// refused reports whether the attempt has shown that no process listens there:
// the host refused or reset the connection, or the socket file is gone.
func (e *dialError) refused() bool {
	if e.answered {
		return false
	}
	for _, no := range []error{syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.EPIPE, syscall.ENOENT} {
		if errors.Is(e.cause, no) {
			return true
		}
	}
	return false
}
