package queue

import "errors"

var (
	// ErrUnavailable means that the queue cannot be used now: its database is away, hung, read-only or not set up.
	// Callers go on without it and try again later.
	ErrUnavailable = errors.New("queue unavailable")

	// ErrOutcomeUnknown comes with ErrUnavailable when the call may have taken effect.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrStaleAttempt refuses the acknowledgement of an attempt that does not run any more.
	ErrStaleAttempt = errors.New("stale attempt")

	// ErrInvalid refuses a call that could never succeed. The named job was not touched.
	ErrInvalid = errors.New("invalid")
)
