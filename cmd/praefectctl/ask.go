package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/admin"
)

// question is put to the instance at an address.
type question[Answer any] func(ctx context.Context, address string, c *admin.Client) (Answer, error)

// call is the question that a method of the client puts with a request.
func call[Request, Answer any](method func(*admin.Client, context.Context, Request) (Answer, error), request Request) func(context.Context, *admin.Client) (Answer, error) {
	return func(ctx context.Context, c *admin.Client) (Answer, error) { return method(c, ctx, request) }
}

// inTime is ask within the command's timeout.
func inTime[Answer any](ctx context.Context, r *run, put func(context.Context, *admin.Client) (Answer, error)) (Answer, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return ask(ctx, r.to, put)
}

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
		if !isPassedOver(err) {
			break // another instance would say the same
		}
	}
	if len(secondBest) > 0 {
		return secondBest[0], nil
	}
	var none Answer
	return none, failed(ctx, errs)
}

// isPassedOver tells whether the next endpoint may know better than the one that
// ended with err: it did not answer, it has another token, or it is no praefect.
func isPassedOver(err error) bool {
	return slices.Contains([]codes.Code{
		codes.Unavailable, codes.DeadlineExceeded, codes.Unimplemented, codes.PermissionDenied, codes.Unauthenticated,
	}, status.Code(err))
}

// failed is the error of a question that no endpoint answered. Its exit code is
// that of the endpoint which said most: one that refuses says more than one that
// has no leader, and that one more than one that says nothing.
func failed(ctx context.Context, errs []error) error {
	joined := together(errs)
	if errors.Is(ctx.Err(), context.Canceled) || len(errs) == 0 {
		return joined
	}
	code := exitTimeout
	for _, err := range errs {
		switch status.Code(err) {
		case codes.DeadlineExceeded:
		case codes.Unavailable, codes.Unimplemented:
			if code == exitTimeout {
				code = exitUnavailable
			}
		default:
			code = exitCode(ctx, err)
		}
	}
	return coded{code, joined}
}

// askError is the error of a question to one instance. Its text is the instance's, without gRPC's
// frame around it.
type askError struct {
	address string
	err     error
}

func (e *askError) Error() string { return "ask " + e.address + ": " + e.text() }

func (e *askError) text() string {
	text := e.err.Error()
	if s, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](e.err); ok {
		text = s.GRPCStatus().Message() + advice(e.err)
	}
	return text
}

// askErrors are the errors of several instances. A text that several gave is shown once.
type askErrors []error

// together makes one error of the instances' errors; nil of none.
func together(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	return askErrors(errs)
}

func (e askErrors) Error() string {
	var lines []string
	addresses, texts := map[string][]string{}, []string{}
	for _, err := range e {
		asked, ok := errors.AsType[*askError](err)
		if !ok {
			lines = append(lines, err.Error())
			continue
		}
		text := asked.text()
		if addresses[text] == nil {
			texts = append(texts, text)
		}
		addresses[text] = append(addresses[text], asked.address)
	}
	for _, text := range texts {
		lines = append(lines, "ask "+strings.Join(addresses[text], ", ")+": "+text)
	}
	return strings.Join(lines, "\n")
}

// Unwrap lets errors.Is and errors.As look at each of them.
func (e askErrors) Unwrap() []error { return e }

// advice is the next step after an error of the front of an instance, or of a
// server that is none; an error of the service brings its own.
func advice(err error) string {
	if admin.IsTold(err) {
		return ""
	}
	const token = "give the token of [auth] in the instance's settings by -token-file or PRAEFECT_TOKEN_FILE"
	switch code := status.Code(err); {
	case code == codes.Unauthenticated:
		return "; " + token
	case code == codes.PermissionDenied && !strings.Contains(err.Error(), "the token is right"):
		return "; the instance has another token: " + token
	case code == codes.Unimplemented:
		return "; this is no praefect, or one of another release: check the address"
	}
	return ""
}

func (e *askError) Unwrap() error { return e.err }

func askOne[Answer any](ctx context.Context, address string, to endpoints, put question[Answer]) (answer Answer, err error) {
	cc, err := to.dial(address)
	if err != nil {
		return answer, coded{exitUsage, err}
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	return put(ctx, address, admin.NewClient(cc))
}
