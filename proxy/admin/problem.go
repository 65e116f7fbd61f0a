package admin

import (
	"fmt"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Kind is the end of a request that did not succeed. Only OutcomeUnknown
// leaves open whether something has changed; the others promise that nothing
// has.
type Kind string

// The kinds of an Error.
const (
	// Invalid: the request contradicts itself or lacks something.
	Invalid Kind = "INVALID"
	// NotFound: it names a thing that does not exist.
	NotFound Kind = "NOT_FOUND"
	// Denied: the caller may not change anything.
	Denied Kind = "DENIED"
	// Refused: a safety check said no; the message names the next step.
	Refused Kind = "REFUSED"
	// NoLeader: no instance leads, or the leader could not be reached. Asking again,
	// or another instance, may help.
	NoLeader Kind = "NO_LEADER"
	// NotReached: the instance that was to be asked could not be reached. Only a
	// Client says so.
	NotReached Kind = "NOT_REACHED"
	// NotAvailable: something else that is needed is away, such as Postgres.
	NotAvailable Kind = "UNAVAILABLE"
	// TimedOut: it took longer than allowed and was given up.
	TimedOut Kind = "TIMED_OUT"
	// Canceled: it was given up because the caller wanted that.
	Canceled Kind = "CANCELED"
	// OutcomeUnknown: the change may have happened. Asking again with the same
	// request id tells, and does nothing twice.
	OutcomeUnknown Kind = "OUTCOME_UNKNOWN"
)

// Error is why a request did not succeed. It travels as a gRPC status with the
// kind in its details, and [Client] returns it as it was.
type Error struct {
	Kind Kind
	// Message tells people the fault, and the next step.
	Message string
	// front tells that it does not come from a service, but from the front of an
	// instance or from another program; code is the status that came.
	front bool
	code  codes.Code
}

// Errorf makes an Error.
func Errorf(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// domain marks the details of our statuses.
const domain = "praefect.admin"

// GRPCStatus is the form in which the error travels; gRPC calls it.
func (e *Error) GRPCStatus() *status.Status {
	if e.front {
		return status.New(e.code, e.Message)
	}
	s := status.New(e.Kind.code(), e.Message)
	if detailed, err := s.WithDetails(&errdetails.ErrorInfo{Reason: string(e.Kind), Domain: domain}); err == nil {
		return detailed
	}
	return s // the code alone says nearly as much
}

func (k Kind) code() codes.Code {
	switch k {
	case Invalid:
		return codes.InvalidArgument
	case NotFound:
		return codes.NotFound
	case Denied:
		return codes.PermissionDenied
	case Refused:
		return codes.FailedPrecondition
	case NoLeader, NotReached, NotAvailable:
		return codes.Unavailable
	case TimedOut:
		return codes.DeadlineExceeded
	case Canceled:
		return codes.Canceled
	}
	return codes.Aborted
}

// fromStatus is the Error in a status that travelled, nil if there is none: the
// status then comes from gRPC or from an instance's front.
func fromStatus(err error) *Error {
	s, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return &Error{Kind: Kind(info.GetReason()), Message: s.Message()}
		}
	}
	return nil
}
