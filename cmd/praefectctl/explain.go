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

	"praefect/proxy/admin"
)

func (p *program) explain() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Usage:     "tell everything that is known of one repository",
		ArgsUsage: "REPOSITORY",
		Description: "REPOSITORY is the relative path, as in @hashed/ab/cd/abcd.git. Any instance answers,\n" +
			"for itself: where its reads and writes of the repository go now and why, what the\n" +
			"ledger says of it, for what its repair waits, and what has changed last. If it\n" +
			"cannot be read, the exit code is 4.",
		Flags: watchFlags(&cli.StringFlag{Name: "virtual-storage", Usage: "its virtual storage: `NAME`; needed if there are several"}),
		Action: p.action([]string{"REPOSITORY"}, func(ctx context.Context, r *run) error {
			request := admin.ExplainRequest{VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.args[0]}
			answer, err := inTime(ctx, r, call((*admin.Client).Explain, request))
			if err != nil {
				return err
			}
			return r.answerWith(exitIf(unreadable(answer), exitUnavailable), answer, func(out *output) { showExplanation(out, answer) })
		}),
	}
}

// unreadable tells whether no storage may answer a read of the repository.
func unreadable(a admin.ExplainResponse) bool { return a.Routes.Reads.Refused != "" }

func showExplanation(out *output, a admin.ExplainResponse) {
	out.printf("%s %s in %s: %s\n", out.mark(explainedSign(a)), a.RelativePath, a.VirtualStorage, summary(a))
	line := func(name, format string, args ...any) { out.printf("  %-8s %s\n", name, fmt.Sprintf(format, args...)) }
	line("exists", "%s", existenceText(a.Existence))
	showRoutes(line, a.Routes)
	line("ledger", "%s", ledgerText(a.Entry))
	if a.WaitsFor != nil {
		line("repair", "waits for %s (%s)", a.WaitsFor, a.WaitsFor.Reason)
	}
	out.printf("\n")
	out.table([]string{"", "STORAGE", "STATE", "REPLICA", "REACHABLE", "PROBLEM"}, each(a.Storages, func(st admin.Replica) []string {
		return []string{
			out.mark(replicaSign(st)), st.Storage, storageState(admin.Storage{State: st.State, Why: st.Why, Votes: true}),
			replicaText(st), yesNo(st.Reachable), st.Error,
		}
	}))
	if a.Entry != nil && len(a.Entry.Intents) > 0 {
		out.printf("\n")
		out.table([]string{"INTENT OF", "INCARNATION", "STATE", "LEASE", "KIND", "IN DOUBT", "TARGETS"}, intentRows(a.Entry.Intents))
	}
	if a.Entry != nil {
		showConflicts(out, admin.Repository{VirtualStorage: a.VirtualStorage, RelativePath: a.RelativePath, Conflicts: a.Entry.Conflicts})
	}
	switch {
	case a.JobsError != "":
		out.printf("\n%s the repair jobs cannot be read: %s\n", out.mark(warning), a.JobsError)
	case len(a.Jobs) > 0:
		out.printf("\n")
		out.table(jobHeader, jobRows(out, a.Jobs))
	}
	if len(a.Changes) > 0 {
		out.printf("\nlast changes:\n")
		out.table(changeHeader, changeRows(a.Changes))
	}
	out.printf("\nat index %d of the replicated state; answered by %s\n", a.Index, a.Instance)
}

// summary says the most important thing about the repository.
func summary(a admin.ExplainResponse) string {
	switch e := a.Entry; {
	case unreadable(a):
		return "unavailable"
	case e == nil && a.Existence.Exists != nil && !*a.Existence.Exists:
		return "there is no such repository"
	case e == nil:
		return "clean"
	case len(e.Conflicts) > 0:
		return "in conflict"
	case len(e.Behind) > 0:
		return strings.Join(e.Behind, ", ") + " behind"
	case e.Advancing != "":
		return "its primary is being copied onto"
	}
	return "listed, and nothing is behind"
}

func explainedSign(a admin.ExplainResponse) sign {
	switch e := a.Entry; {
	case unreadable(a):
		return bad
	case e == nil:
		return good
	case len(e.Behind) > 0:
		return warning
	}
	return busy
}

func existenceText(e admin.Existence) string {
	switch {
	case e.Exists == nil:
		return "not known: " + e.Error
	case *e.Exists:
		return "yes, says " + e.Storage
	}
	return "no, says " + e.Storage
}

func showRoutes(line func(name, format string, args ...any), r admin.Routes) {
	if r.Reads.Refused != "" {
		line("reads", "are refused: %s", r.Reads.Refused)
	} else {
		line("reads", "%s: %s", strings.Join(r.Reads.Storages, ", "), r.Reads.Why)
	}
	w := r.Writes
	if w.Refused != "" {
		line("writes", "have no destination: %s", w.Refused)
	} else {
		line("writes", "%s, epoch %d: %s", strings.Join(append([]string{w.Primary}, w.Others...), ", "), w.Epoch, w.Why)
	}
	if w.Waits != "" {
		line("", "%s", w.Waits)
	}
}

func ledgerText(e *admin.Entry) string {
	if e == nil {
		return "not listed: every storage that serves has the same content"
	}
	text := fmt.Sprintf("listed, last changed at index %d", e.Changed)
	if len(e.Behind) > 0 {
		text += "; behind: " + strings.Join(e.Behind, ", ")
	}
	if e.Deleted {
		text += "; deleted: storages that are behind remove it"
	}
	if e.Advancing != "" {
		text += "; the primary is being copied onto from " + e.Advancing
	}
	return text
}

func replicaSign(r admin.Replica) sign {
	switch {
	case r.Role == "behind" || r.Conflict:
		return warning
	case !r.Reachable:
		return bad
	case r.Role == "not-serving":
		return busy
	}
	return good
}

// replicaText is the role of a replica with its details.
func replicaText(r admin.Replica) string {
	text := map[string]string{"primary": "primary", "in-sync": "in sync", "behind": "behind", "not-serving": "not used"}[r.Role]
	if r.Removes {
		text += ", to be removed"
	}
	if r.Conflict {
		text += ", in conflict"
	}
	if r.InDoubt {
		text += ", in doubt"
	}
	return text
}

func intentRows(intents []admin.Intent) [][]string {
	rows := make([][]string, 0, len(intents))
	for _, m := range intents {
		lease, doubt, targets := "", "", m.Targets
		switch {
		case m.LeaseMillis != nil && *m.LeaseMillis > 0:
			lease = millis(*m.LeaseMillis)
		case m.LeaseMillis != nil || m.Life == admin.LifeRetired:
			lease = "none"
		}
		if m.InDoubt != nil {
			doubt = "since index " + strconv.FormatUint(uint64(m.InDoubt.At), 10) + ", bound " + millis(m.InDoubt.BoundMillis)
			targets = append(append([]string{}, targets...), without(m.InDoubt.Targets, targets)...)
		}
		rows = append(rows, []string{
			cmp.Or(m.Instance, "-"), strconv.FormatUint(uint64(m.Incarnation), 10), string(m.Life), lease, m.Kind, doubt, strings.Join(targets, ", "),
		})
	}
	return rows
}

// without are the names that are not among others.
func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

func millis(ms int64) string { return (time.Duration(ms) * time.Millisecond).String() }
