package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

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
		Flags: watchFlags(virtualStorageFlag()),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			answer, err := r.statusNow(ctx, r.cmd.String("virtual-storage"))
			if err != nil {
				return err
			}
			return r.answerWith(answer.Health.ExitCode(), answer, func(out *output) { showStatus(out, answer) })
		}),
	}
}

func virtualStorageFlag() cli.Flag {
	return &cli.StringFlag{Name: "virtual-storage", Usage: "only this virtual storage: `NAME`"}
}

func showStatus(out *output, answer admin.StatusResponse) {
	for _, vs := range answer.VirtualStorages {
		health := vs.Health
		out.printf("%s %s: %s, primary %s, epoch %d\n", out.mark(healthSign(health)), vs.Name, health, cmp.Or(vs.Primary, "none"), vs.Epoch)
		header := []string{"", "STORAGE", "ROLE", "STATE", "REACHABLE", "BEHIND", "VERSION", "+SINCE", "+VOTES", "PROBLEM"}
		out.table(header, each(vs.Storages, func(st admin.Storage) []string {
			return []string{
				out.mark(storageSign(st)), st.Name, role(st.Name == vs.Primary), storageState(st), yesNo(st.Reachable), strconv.Itoa(st.Behind), st.Version,
				timeText(st.Since), yesNo(st.Votes), st.Error,
			}
		}))
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

func role(primary bool) string {
	if primary {
		return "primary"
	}
	return "secondary"
}

// showLevel names the instances that keep the feature level from rising, if there are any.
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

// showConditions lists the conditions that are wanted, the worst first, and names the run-book
// behind the conditions of one kind.
func showConditions(out *output, list []condition.Condition, wanted func(condition.Condition) bool) {
	list = slices.DeleteFunc(slices.Clone(list), func(c condition.Condition) bool { return !wanted(c) })
	for i, c := range list {
		out.printf("%s %s: %s\n", out.mark(levelSign(c.Level)), c.Name, c.Text)
		if i+1 == len(list) || list[i+1].Name != c.Name {
			out.printf("  run-book: %s\n", c.Name.RunBook())
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

// storageState is the state of a storage with its details.
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

// timeText is a moment for a table, empty if it is not known.
func timeText(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
