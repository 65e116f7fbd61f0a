package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/proxy/admin"
)

// switchTimeout bounds the time until the cut-over if -timeout does not, and finishTime the time
// after it.
const (
	switchTimeout = 5 * time.Minute
	finishTime    = 30 * time.Second
)

// verb is one way to move the role of the primary: promote or drain.
type verb struct {
	name, short, about string
	call               func(*admin.Client, context.Context, admin.SwitchRequest, func(admin.Progress)) (admin.SwitchResponse, error)
	// plan says in words the coming change, done the change that was made, undo the command that
	// undoes it, if there is one.
	plan func(admin.SwitchRequest, admin.Plan) string
	done func(admin.SwitchRequest, admin.SwitchResponse) string
	undo func(admin.SwitchRequest, admin.SwitchResponse) string
}

func (p *program) promote() *cli.Command { return p.switchCommand(promoting()) }

func promoting() verb {
	return verb{
		name:  "promote",
		short: "make a storage the primary, without failing a request",
		call:  (*admin.Client).Promote,
		plan: func(r admin.SwitchRequest, plan admin.Plan) string {
			if plan.Already {
				return r.Storage + " is the primary already"
			}
			return fmt.Sprintf("primary %s -> %s", cmp.Or(plan.Primary, "none"), plan.Successor)
		},
		done: func(_ admin.SwitchRequest, a admin.SwitchResponse) string {
			return fmt.Sprintf("%s is the primary of %s", a.Primary, a.Plan.VirtualStorage)
		},
		undo: func(_ admin.SwitchRequest, a admin.SwitchResponse) string {
			if a.Plan.Primary == "" {
				return ""
			}
			return fmt.Sprintf("promote %s -virtual-storage %s", a.Plan.Primary, a.Plan.VirtualStorage)
		},
		about: "The storage is caught up, new writes are queued while running ones end, then it\n" +
			"becomes the primary and the queued writes go on. The former primary serves on as a\n" +
			"secondary. Until the cut-over everything is as before, and Ctrl-C gives up.",
	}
}

func (p *program) drain() *cli.Command { return p.switchCommand(draining()) }

func draining() verb {
	return verb{
		name:  "drain",
		short: "take a storage out of use, until undrain",
		call:  (*admin.Client).Drain,
		plan: func(r admin.SwitchRequest, plan admin.Plan) string {
			switch {
			case plan.Already:
				return r.Storage + " is drained already"
			case plan.Primary == plan.Successor:
				return fmt.Sprintf("%s goes out of use, primary %s stays", r.Storage, plan.Primary)
			}
			return fmt.Sprintf("%s goes out of use, primary %s -> %s", r.Storage, cmp.Or(plan.Primary, "none"), plan.Successor)
		},
		done: func(r admin.SwitchRequest, a admin.SwitchResponse) string {
			return fmt.Sprintf("%s is drained, %s is the primary of %s", r.Storage, cmp.Or(a.Primary, "none"), a.Plan.VirtualStorage)
		},
		undo: func(r admin.SwitchRequest, a admin.SwitchResponse) string {
			return fmt.Sprintf("undrain %s -virtual-storage %s", r.Storage, a.Plan.VirtualStorage)
		},
		about: "If it is the primary, the next storage is promoted first, as by promote. A drained\n" +
			"storage is neither read nor written; what it misses is copied after undrain.",
	}
}

func (p *program) switchCommand(v verb) *cli.Command {
	return &cli.Command{
		Name:        v.name,
		Usage:       v.short,
		ArgsUsage:   "STORAGE",
		Description: v.about,
		Flags: changeFlags(
			&cli.StringFlag{Name: "virtual-storage", Usage: "the virtual storage's `NAME`, if more than one has such a storage"},
			&cli.BoolFlag{Name: "force", Usage: "do not wait for what is dead: repositories that cannot be caught up stay unavailable"},
			&cli.BoolFlag{Name: "dry-run", Usage: "show the plan, and change nothing"},
			yesFlag(),
		),
		Action: p.action([]string{"STORAGE"}, func(ctx context.Context, r *run) error { return r.switchover(ctx, v) }),
	}
}

func (r *run) switchover(ctx context.Context, v verb) error {
	timeout := switchTimeout
	if r.cmd.IsSet("timeout") {
		timeout = r.cmd.Duration("timeout")
	}
	request := admin.SwitchRequest{
		Change: r.change(), VirtualStorage: r.cmd.String("virtual-storage"), Storage: r.args[0],
		Force: r.cmd.Bool("force"), TimeoutMillis: timeout.Milliseconds(),
	}
	planned, first, err := r.plan(ctx, v, request)
	if err != nil {
		return err
	}
	if r.cmd.Bool("dry-run") || planned.Plan.Already {
		return r.answer(planned, func(out *output) { showPlan(out, v, request, planned) })
	}
	showPlan(r.aside(), v, request, planned)
	if few := tooFew(v, planned.Plan); few != "" && !r.interactive && !r.cmd.Bool("yes") {
		return coded{exitRefused, fmt.Errorf("%s; nothing was changed; to drain it all the same, repeat the command with -y", few)}
	}
	if r.interactive && !r.cmd.Bool("yes") {
		if err := r.proceed(ctx); err != nil {
			return err
		}
		request.Epoch = planned.Epoch // the plan that was looked at, and no other
	}
	request.VirtualStorage = planned.Plan.VirtualStorage
	to := r.to
	to.addresses = append([]string{first}, slices.DeleteFunc(slices.Clone(to.addresses), func(a string) bool { return a == first })...)
	bounded, cancel := context.WithTimeout(ctx, timeout+finishTime)
	defer cancel()
	line := &progressLine{w: r.stderr, rewrite: r.interactive}
	answer, err := carryOut(bounded, to, request.RequestID, false, func(ctx context.Context, _ string, c *admin.Client) (admin.SwitchResponse, error) {
		defer line.end()
		return v.call(c, ctx, request, func(p admin.Progress) { line.show(string(p.Stage), terminal.Line(stageText(p))) })
	})
	if err != nil {
		return gaveUp(ctx, err)
	}
	return r.answer(answer, func(out *output) {
		out.printf("%s %s, epoch %d, in %s; writes waited at most %s; answered by %s\n", out.mark(good),
			v.done(request, answer), answer.Epoch, ms(answer.TookMillis), ms(answer.PausedMillis), answer.Instance)
		if undo := v.undo(request, answer); undo != "" {
			out.printf("  undo: praefectctl %s\n", undo)
		}
	})
}

// plan asks for the plan of a switchover, and returns the address that answered.
func (r *run) plan(ctx context.Context, v verb, request admin.SwitchRequest) (planned admin.SwitchResponse, address string, err error) {
	request.DryRun = true
	ctx, cancel := context.WithTimeout(ctx, min(request.Timeout(), retryTime))
	defer cancel()
	planned, err = carryOut(ctx, r.to, request.RequestID, true, func(ctx context.Context, at string, c *admin.Client) (admin.SwitchResponse, error) {
		address = at
		return v.call(c, ctx, request, func(admin.Progress) {})
	})
	return planned, address, err
}

// gaveUp says that nothing has changed where that is certain.
func gaveUp(ctx context.Context, err error) error {
	if _, judged := errors.AsType[coded](err); judged {
		return err
	}
	switch kind := admin.KindOf(err); {
	case kind == admin.Canceled && ctx.Err() != nil:
		return coded{exitInterrupted, errors.New("interrupted before the cut-over: nothing was changed")}
	case kind == admin.TimedOut:
		return coded{exitTimeout, fmt.Errorf("%w; nothing was changed", err)}
	}
	return err
}

// busyText tells the end of the repositories that a switchover does not wait for.
func busyText(plan admin.Plan) string {
	if plan.Busy == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them being written to: they keep their present primary until they are repaired", plan.Busy)
}

// tooFew says that a plan leaves fewer storages than a write must be on, empty if it does not.
func tooFew(v verb, plan admin.Plan) string {
	if v.name != "drain" || plan.Already || plan.Serving >= plan.Copies {
		return ""
	}
	return fmt.Sprintf("%d of the storages of %s would serve, fewer than consistency.copies (%d): new writes have fewer copies until another one serves",
		plan.Serving, plan.VirtualStorage, plan.Copies)
}

func showPlan(out *output, v verb, request admin.SwitchRequest, planned admin.SwitchResponse) {
	plan := planned.Plan
	out.printf("%s: %s, epoch %d\n", plan.VirtualStorage, v.plan(request, plan), plan.Epoch)
	if plan.Already {
		return
	}
	if plan.Primary != plan.Successor || plan.Behind > 0 {
		out.printf("  repositories behind on %s: %d%s\n", plan.Successor, plan.Behind, busyText(plan))
	}
	if plan.InDoubt > 0 {
		out.printf("  repositories with a write of unknown outcome: %d; they are compared before they count as in sync\n", plan.InDoubt)
	}
	out.printf("  writes under way: %d; new ones wait, for %s at most\n", plan.InFlight, ms(plan.PauseMillis))
	if text := tooFew(v, plan); text != "" {
		out.printf("  %s %s\n", out.mark(bad), text)
	}
	if plan.Unavailable > 0 {
		out.printf("  %s repositories unavailable unless caught up: %d; list: praefectctl dataloss -virtual-storage %s\n",
			out.mark(bad), plan.Unavailable, plan.VirtualStorage)
	}
	for _, text := range plan.Warnings {
		out.printf("  %s %s\n", out.mark(warning), text)
	}
}
