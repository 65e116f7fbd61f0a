package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) datalossDiff() *cli.Command {
	return &cli.Command{
		Name:      "diff",
		Usage:     "list the references that differ between two replicas of a repository",
		ArgsUsage: "REPOSITORY STORAGE STORAGE",
		Description: "For the choice of the replica that counts. Both storages must be reachable. Objects that no\n" +
			"reference leads to are not compared. The exit code is 3 if something differs.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "virtual-storage", Usage: "its virtual storage: `NAME`; needed if there are several"},
			&cli.IntFlag{Name: "limit", Value: 50, Usage: "name at most this `NUMBER` of references; all are counted"},
		},
		Action: p.action([]string{"REPOSITORY", "STORAGE", "STORAGE"}, func(ctx context.Context, r *run) error {
			request := admin.DiffRequest{
				VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.args[0], Here: r.args[1], There: r.args[2], Limit: r.cmd.Int("limit"),
			}
			if request.Limit <= 0 || request.Limit > admin.MaxPage {
				return usage("-limit is %d: want 1 to %d", request.Limit, admin.MaxPage)
			}
			ctx, cancel := r.within(ctx, diffTimeout)
			defer cancel()
			answer, err := ask(ctx, r.to, call((*admin.Client).Diff, request))
			if err != nil {
				return err
			}
			differ := answer.Differing > 0 || answer.Here.Exists != answer.There.Exists
			return r.answerWith(exitIf(differ, exitDegraded), answer, func(out *output) { showDiff(out, answer) })
		}),
	}
}

// diffTimeout bounds a comparison if -timeout does not: both storages list all references.
const diffTimeout = 2 * time.Minute

func showDiff(out *output, a admin.DiffResponse) {
	for _, side := range []admin.DiffSide{a.Here, a.There} {
		text, s := replicaText(admin.Replica{Role: side.Role}), good
		if side.Role == "behind" {
			s = warning
		}
		if !side.Exists {
			text, s = text+", has no such repository", bad
		}
		out.printf("%s %s: %s; references that only it has: %d\n", out.mark(s), side.Storage, text, side.Only)
	}
	if len(a.References) > 0 {
		showReferences(out, a.Here.Storage, a.There.Storage, a.References)
	}
	if rest := a.Differing - len(a.References); rest > 0 {
		out.printf("and %d more references differ; see -limit\n", rest)
	}
	least := ""
	if a.AtLeast {
		least = " or more"
	}
	out.printf("\n%s of %s: references that differ: %d%s; answered by %s\n", a.RelativePath, a.VirtualStorage, a.Differing, least, a.Instance)
}

// showReferences lists references with their values on two storages.
func showReferences(out *output, here, there string, list []state.DifferingReference) {
	out.table([]string{"REFERENCE", "ON " + here, "ON " + there}, each(list, func(d state.DifferingReference) []string {
		return []string{d.Name, cmp.Or(d.Here, "-"), cmp.Or(d.There, "-")}
	}))
}

func (p *program) datalossAccepted() *cli.Command {
	return &cli.Command{
		Name:  "accepted",
		Usage: "list the losses that operators have accepted, the newest first",
		Description: "The cluster keeps the last 1,000 with the references that were given up: who, when, why.\n" +
			"The record is part of the replicated state, and of its snapshots.",
		Flags: watchFlags(virtualStorageFlag(),
			&cli.StringFlag{Name: "repository", Usage: "only of the repository with this relative `PATH`"},
			&cli.IntFlag{Name: "limit", Value: 50, Usage: "at most this `NUMBER`; 0 is all"}),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			limit := r.cmd.Int("limit")
			if limit < 0 {
				return usage("-limit is %d: want 0 or more", limit)
			}
			request := admin.LossesRequest{VirtualStorage: r.cmd.String("virtual-storage"), RelativePath: r.cmd.String("repository")}
			answer, err := inTime(ctx, r, func(ctx context.Context, c *admin.Client) (admin.LossesResponse, error) {
				return lossesUpTo(ctx, c, request, limit)
			})
			if err != nil {
				return err
			}
			return r.answer(answer, func(out *output) { showLosses(out, answer) })
		}),
	}
}

// lossesUpTo collects pages into one answer of at most limit losses; 0 is all.
func lossesUpTo(ctx context.Context, c *admin.Client, request admin.LossesRequest, limit int) (admin.LossesResponse, error) {
	var all admin.LossesResponse
	losses, err := inPages(limit, func(most int, last *admin.Loss) (page []admin.Loss, more bool, err error) {
		request.Limit = most
		if last != nil {
			request.Before = last.Index
		}
		all, err = c.Losses(ctx, request)
		return all.Losses, all.More, err
	})
	all.Losses = losses
	return all, err
}

func showLosses(out *output, a admin.LossesResponse) {
	if len(a.Losses) > 0 {
		header := []string{"TIME", "VIRTUAL STORAGE", "REPOSITORY", "CHOSEN", "WERE BEHIND", "GIVEN UP", "BY", "+INDEX"}
		out.table(header, each(a.Losses, func(l admin.Loss) []string {
			return []string{
				l.Time.Format(time.RFC3339), l.VirtualStorage, l.RelativePath, l.Storage, strings.Join(l.Behind, ", "), givenUpText(l), l.By,
				strconv.FormatUint(uint64(l.Index), 10),
			}
		}))
	}
	if out.format == formatWide {
		for _, l := range a.Losses {
			for _, c := range l.GivenUp {
				out.printf("\n%s of %s, %s: on %s in place of %s\n", l.RelativePath, l.VirtualStorage, l.Time.Format(time.RFC3339), c.Storage, c.Primary)
				showReferences(out, c.Primary, c.Storage, c.Sample)
			}
		}
	}
	out.printf("\naccepted losses: %d", len(a.Losses))
	if a.More {
		out.printf("; there are more, see -limit")
	}
	if a.Dropped > 0 {
		out.printf("; older ones that are not kept any more: %d", a.Dropped)
	}
	out.printf("; answered by %s\n", a.Instance)
}

// givenUpText says in short how the other replicas differed.
func givenUpText(l admin.Loss) string {
	var parts []string
	for _, c := range l.GivenUp {
		switch {
		case c.There.Absent:
			parts = append(parts, c.Storage+": had no such repository")
		case len(c.Sample) > 0:
			more := ""
			if c.Differing > 1 {
				more = fmt.Sprintf(" and %d more", c.Differing-1)
			}
			parts = append(parts, c.Storage+": "+c.Sample[0].Name+more)
		default:
			parts = append(parts, fmt.Sprintf("%s: %d references", c.Storage, c.Differing))
		}
	}
	if len(l.NotCompared) > 0 {
		parts = append(parts, strings.Join(l.NotCompared, ", ")+": not known, could not be asked")
	}
	if len(parts) == 0 {
		return "nothing: all replicas that could be asked were alike"
	}
	return strings.Join(parts, "; ")
}
