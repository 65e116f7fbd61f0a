package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"praefect/fsm/state"
	"praefect/proxy/ledger"
	"praefect/proxy/router"
	"praefect/proxy/storage"
	"praefect/proxy/throttle"
	"praefect/proxy/transaction"
)

// retryAfter is the delay in RetryInfo for a client whose request may succeed when it is simply
// repeated.
const retryAfter = time.Second

// invalid is the client's mistake: repeating the request is of no use.
func invalid(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }

// toStatus gives an error of ours its gRPC code; this is the only place that
// decides one. An error that has a code already, as a storage's status has, passes through
// untouched.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	var (
		routed  *router.Refusal
		refused *state.Refusal
	)
	switch {
	case errors.Is(err, context.Canceled):
		return status.Error(codes.Canceled, err.Error())
	case errors.Is(err, context.DeadlineExceeded):
		return status.Error(codes.DeadlineExceeded, err.Error())
	case errors.Is(err, ledger.ErrDoomed), errors.Is(err, ledger.ErrRetired):
		// It may have had its effect: the client is not told to just try again.
		return status.Error(codes.Unavailable, err.Error())
	case errors.As(err, &routed):
		switch routed.Kind {
		case router.UnknownVirtualStorage:
			return invalid(err)
		case router.InConflict: // it needs an operator, and no repetition
			return status.Error(codes.FailedPrecondition, err.Error())
		}
		return unavailable(err)
	case errors.As(err, &refused), isAny(err, ledger.ErrQueued, ledger.ErrNoLease, ledger.ErrRerouted, ledger.ErrStopping, ledger.ErrUnknown, storage.ErrUnreachable, errTooFew, transaction.ErrCrowded, throttle.ErrFull, throttle.ErrLate):
		return unavailable(err)
	}
	return status.Error(codes.Internal, err.Error())
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// unavailable is a request that may succeed later.
func unavailable(err error) error {
	st := status.New(codes.Unavailable, err.Error())
	if detailed, detailErr := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)}); detailErr == nil {
		st = detailed
	}
	return st.Err()
}
