package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/fsm/condition"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) status() *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the virtual storages and their storages",
		Description: "Without a leader it shows what the instance that answers knows by itself, and\n" +
			"says so; the exit code is 4.",
		Flags: []cli.Flag{
			virtualStorageFlag(),
			&cli.BoolFlag{Name: "watch", Aliases: []string{"w"}, Usage: "show it again and again, until Ctrl-C; then the exit code is 0"},
			&cli.DurationFlag{Name: "interval", Value: 2 * time.Second, Usage: "the `TIME` between two looks of -watch"},
		},
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			if !r.cmd.Bool("watch") {
				return r.status(ctx)
			}
			return r.watch(ctx)
		}),
	}
}

// status shows once how the virtual storages are. It prefers an answer of an
// instance that knows a leader.
func (r *run) status(ctx context.Context) error {
	ctx, cancel := r.bounded(ctx)
	defer cancel()
	request := admin.StatusRequest{VirtualStorage: r.cmd.String("virtual-storage")}
	led := func(a admin.StatusResponse) bool { return !a.OwnView }
	answer, err := askFor(ctx, r.to, led, func(ctx context.Context, _ string, c *admin.Client) (admin.StatusResponse, error) {
		return c.Status(ctx, request)
	})
	if err != nil {
		return err
	}
	if r.cmd.Bool("watch") && r.out.terminal {
		r.out.print("\x1b[H\x1b[2J")
	}
	if err := r.answer(answer, func(out *output) { showStatus(out, answer) }); err != nil {
		return err
	}
	return healthError(answer.Health)
}

// watch shows the status until ctx ends. That nobody answers is a thing to see,
// too; only a wrong request ends it.
func (r *run) watch(ctx context.Context) error {
	interval := r.cmd.Duration("interval")
	if interval <= 0 {
		return usage("-interval is %v: want more than 0", interval)
	}
	for {
		if err := r.status(ctx); err != nil && ctx.Err() == nil {
			switch exitCode(ctx, err) {
			case exitUnavailable, exitDegraded, exitTimeout:
				if text := err.Error(); text != "" {
					fmt.Fprintln(r.stderr, "praefectctl: "+terminal.Text(text))
				}
			default:
				return err
			}
		}
		if r.out.err != nil || !rest(ctx, interval) {
			return nil
		}
		if !r.out.json && !r.out.terminal {
			r.out.printf("\n")
		}
	}
}

func virtualStorageFlag() cli.Flag {
	return &cli.StringFlag{Name: "virtual-storage", Usage: "only this virtual storage: `NAME`"}
}

func showStatus(out *output, answer admin.StatusResponse) {
	for _, vs := range answer.VirtualStorages {
		health := vs.Health
		out.printf("%s %s: %s, primary %s, epoch %d\n", out.mark(healthSign(health)), vs.Name, health, cmp.Or(vs.Primary, "none"), vs.Epoch)
		rows := make([][]string, 0, len(vs.Storages))
		for _, st := range vs.Storages {
			role := "secondary"
			if st.Name == vs.Primary {
				role = "primary"
			}
			rows = append(rows, []string{
				out.mark(storageSign(st)), st.Name, role, storageState(st), yesNo(st.Reachable), strconv.Itoa(st.Behind), st.Version, st.Error,
			})
		}
		out.table([]string{"", "STORAGE", "ROLE", "STATE", "REACHABLE", "BEHIND", "VERSION", "PROBLEM"}, rows)
		showConditions(out, answer.Conditions, func(c condition.Condition) bool { return c.VirtualStorage == vs.Name })
		out.printf("\n")
	}
	showConditions(out, answer.Conditions, func(c condition.Condition) bool { return c.VirtualStorage == "" })
	showLevel(out, answer.Level)
	if answer.OwnView {
		out.printf("%s; no leader, so this is what %s knows by itself\n", answer.Health, answer.Instance)
		return
	}
	level := ""
	if answer.FeatureLevel > 0 { // an instance of an older version does not tell
		level = fmt.Sprintf("; feature level %d", answer.FeatureLevel)
	}
	out.printf("%s; leader %s%s; answered by %s\n", answer.Health, answer.Leader, level, answer.Instance)
}

// showLevel says what keeps the feature level from rising; nothing if nothing does.
func showLevel(out *output, l admin.Level) {
	if len(l.HeldBackBy) == 0 {
		return
	}
	var by []string
	for _, h := range l.HeldBackBy {
		if h.Level == 0 {
			by = append(by, fmt.Sprintf("%s (not registered: not started, or too old for level %d)", h.Instance, l.FeatureLevel))
			continue
		}
		by = append(by, fmt.Sprintf("%s (knows level %d)", h.Instance, h.Level))
	}
	out.printf("%s feature level %d of %d; it is held back by %s\n", out.mark(busy), l.FeatureLevel, l.Next, strings.Join(by, ", "))
}

// showConditions lists those that are wanted, the worst first.
func showConditions(out *output, list []condition.Condition, wanted func(condition.Condition) bool) {
	for _, c := range list {
		if wanted(c) {
			out.printf("%s %s: %s\n", out.mark(levelSign(c.Level)), c.Name, c.Text)
		}
	}
}

func healthSign(h condition.Health) sign {
	switch h {
	case condition.Healthy:
		return good
	case condition.HealthDegraded:
		return warning
	}
	return bad
}

func levelSign(l condition.Level) sign {
	if l == condition.Notice {
		return busy
	}
	return healthSign(l.Health())
}

func storageSign(st admin.Storage) sign {
	switch {
	case !st.Reachable:
		return bad
	case st.State == state.Backfilling:
		return busy
	case st.State != state.Serving || st.Slow:
		return warning
	}
	return good
}

// storageState is the state of a storage with what is to be said about it.
func storageState(st admin.Storage) string {
	text := string(st.State)
	switch {
	case st.Backfilling != nil && st.Backfilling.Total > 0:
		text += fmt.Sprintf(" %d/%d", st.Backfilling.Done, st.Backfilling.Total)
	case st.Why != "":
		text += " (" + st.Why + ")"
	}
	if st.Slow {
		text += ", slow"
	}
	if st.Reachable && !st.Votes {
		text += ", no votes"
	}
	return text
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
