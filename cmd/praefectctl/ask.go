package main

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
	"praefect/proxy/storage"
)

// question is put to the instance at an address.
type question[Answer any] func(ctx context.Context, address string, c *admin.Client) (Answer, error)

// ask puts a question to one instance after the other, until one answers.
func ask[Answer any](ctx context.Context, to endpoints, put func(context.Context, *admin.Client) (Answer, error)) (Answer, error) {
	return askFor(ctx, to, func(Answer) bool { return true },
		func(ctx context.Context, _ string, c *admin.Client) (Answer, error) { return put(ctx, c) })
}

// askFor puts a question to one instance after the other, until one gives an
// answer that will do. If none will do, the first answer is better than none.
// Each gets its share of the time that ctx leaves.
func askFor[Answer any](ctx context.Context, to endpoints, willDo func(Answer) bool, put question[Answer]) (Answer, error) {
	var errs []error
	var secondBest []Answer
	for i, address := range to.addresses {
		share, cancel := shareOf(ctx, len(to.addresses)-i)
		answer, err := askOne(share, address, to, put)
		cancel()
		if err == nil && willDo(answer) {
			return answer, nil
		}
		if err == nil {
			secondBest = append(secondBest, answer)
			continue
		}
		errs = append(errs, &askError{address, err})
		if !slices.Contains([]codes.Code{codes.Unavailable, codes.DeadlineExceeded}, status.Code(err)) {
			break // another instance would say the same
		}
	}
	if len(secondBest) > 0 {
		return secondBest[0], nil
	}
	var none Answer
	return none, errors.Join(errs...)
}

// askError is what came of asking one instance. It says what the instance said,
// without gRPC's frame around it.
type askError struct {
	address string
	err     error
}

func (e *askError) Error() string {
	text := e.err.Error()
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](e.err); ok {
		text = s.GRPCStatus().Message()
	}
	return "ask " + e.address + ": " + text
}

func (e *askError) Unwrap() error { return e.err }

func askOne[Answer any](ctx context.Context, address string, to endpoints, put question[Answer]) (answer Answer, err error) {
	cc, err := storage.NewClient(address, to.token)
	if err != nil {
		return answer, coded{exitUsage, err}
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	return put(ctx, address, admin.NewClient(cc))
}
