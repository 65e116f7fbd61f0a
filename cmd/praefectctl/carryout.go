package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"praefect/proxy/admin"
)

const (
	// connectTime is how long a change waits for a connection to an instance.
	connectTime = 3 * time.Second
	// retryTime is how long a change that no instance could carry out is tried again,
	// betweenRounds the time until the next try.
	retryTime     = 10 * time.Second
	betweenRounds = 500 * time.Millisecond
)

// changeFlags are the flags of every command that changes something.
func changeFlags(more ...cli.Flag) []cli.Flag {
	return append(more,
		&cli.StringFlag{Name: "why", Usage: "the `REASON`, for the history"},
		&cli.StringFlag{Name: "request-id", Usage: "repeat the request of this `ID`, whose outcome is unknown"})
}

// change begins a request: it names the operator, and the request id.
func (r *run) change() admin.Change {
	id := r.cmd.String("request-id")
	if id == "" {
		id = r.newID()
	}
	by := cmp.Or(r.getenv("SUDO_USER"), r.getenv("USER"), r.account())
	if host, err := r.hostname(); err == nil { // without it the name alone will do
		by += "@" + host
	}
	return admin.Change{RequestID: id, By: by, Why: r.cmd.String("why")}
}

// carryOut gets a change done by one instance after the other, until one reports its end: always
// the same change, with one request id. While no instance leads or the outcome is unknown it goes
// round again, for retryTime. With shared, each instance gets its share of the time that ctx
// leaves.
func carryOut[Answer any](ctx context.Context, to endpoints, id string, shared bool, put question[Answer]) (Answer, error) {
	var none Answer
	until := time.Now().Add(retryTime)
	unknown := false       // an instance may have done it
	var leaderless []error // the last round in which an instance had no leader
	for {
		var errs []error
		again := false
		for i, address := range to.addresses {
			share, cancel := ctx, context.CancelFunc(func() {})
			if shared {
				share, cancel = shareOf(ctx, len(to.addresses)-i)
			}
			answer, err := attempt(share, address, to, put)
			late := share.Err() != nil
			cancel()
			if err == nil {
				return answer, nil
			}
			errs = append(errs, &askError{address, err})
			kind := admin.KindOf(err)
			switch {
			case kind == admin.OutcomeUnknown:
				unknown, again = true, true
			case kind == admin.NoLeader:
				again, leaderless = true, errs
			case kind == admin.Canceled && ctx.Err() == nil:
				again = true // the instance stops: nothing was changed
			case kind == admin.NotReached, kind == admin.TimedOut && late, kind == admin.Denied && i < len(to.addresses)-1:
				// The next one, please: nothing was changed.
			case unknown:
				// That says nothing about the effect of the earlier attempt.
				return none, uncertain(id, errs)
			default:
				return none, together(errs)
			}
		}
		if again && time.Now().Before(until) && sleep(ctx, betweenRounds) {
			continue
		}
		switch {
		case unknown:
			return none, uncertain(id, errs)
		case leaderless != nil && !errors.Is(ctx.Err(), context.Canceled):
			// That the time ran out says less than that no instance led.
			return none, coded{exitUnavailable, together(leaderless)}
		}
		return none, together(errs)
	}
}

// once carries out a change that does not take long.
func once[Answer any](ctx context.Context, r *run, id string, change func(context.Context, *admin.Client) (Answer, error)) (Answer, error) {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	return carryOut(ctx, r.to, id, true, func(ctx context.Context, _ string, c *admin.Client) (Answer, error) { return change(ctx, c) })
}

// uncertain is the error of a change that may have happened.
func uncertain(id string, errs []error) error {
	return coded{exitUnknown, fmt.Errorf("%w\nthe change may have happened: repeat the command with -request-id %s, nothing is done twice", together(errs), id)}
}

// sleep waits, unless ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func attempt[Answer any](ctx context.Context, address string, to endpoints, put question[Answer]) (answer Answer, err error) {
	cc, err := to.dial(address)
	if err != nil {
		return answer, coded{exitUsage, err}
	}
	defer func() { err = errors.Join(err, cc.Close()) }()
	if err := connect(ctx, cc); err != nil {
		return answer, err
	}
	return put(ctx, address, admin.NewClient(cc).WithAdminToken(to.adminToken))
}

// connect waits until there is a connection or it is clear that there will be
// none; then the call says why.
func connect(ctx context.Context, cc *grpc.ClientConn) error {
	bounded, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	cc.Connect()
	for s := cc.GetState(); s == connectivity.Idle || s == connectivity.Connecting; s = cc.GetState() {
		if !cc.WaitForStateChange(bounded, s) {
			if errors.Is(ctx.Err(), context.Canceled) {
				return admin.Errorf(admin.Canceled, "given up; nothing was changed")
			}
			return admin.Errorf(admin.NotReached, "no connection in time")
		}
	}
	return nil
}

// done prints that a change was made.
func (r *run) done(done admin.Done, document any, format string, args ...any) error {
	return r.answer(document, func(out *output) {
		text := fmt.Sprintf(format, args...)
		if done.Already {
			text += " already; nothing was changed"
		}
		out.printf("%s %s; answered by %s\n", out.mark(good), text, done.Instance)
		if done.Note != "" {
			out.printf("  %s\n", done.Note)
		}
	})
}
