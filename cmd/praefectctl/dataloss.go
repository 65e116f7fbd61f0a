package main

import (
	"context"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) dataloss() *cli.Command {
	return &cli.Command{
		Name:  "dataloss",
		Usage: "list the repositories of which a storage misses an acknowledged write",
		Description: "A repository that is available can be read, and its storages that are behind are\n" +
			"being repaired. One that is not available has no reachable storage with every\n" +
			"acknowledged write: then the exit code is 4.",
		Flags:    watchFlags(virtualStorageFlag()),
		Commands: []*cli.Command{p.datalossDiff(), p.datalossAccepted()},
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			request := admin.DatalossRequest{VirtualStorage: r.cmd.String("virtual-storage")}
			answer, err := inTime(ctx, r, func(ctx context.Context, c *admin.Client) (admin.DatalossResponse, error) {
				return allDataloss(ctx, c, request)
			})
			if err != nil {
				return err
			}
			unavailable := 0
			for _, r := range answer.Repositories {
				if !r.Available {
					unavailable++
				}
			}
			return r.answerWith(exitIf(unavailable > 0, exitUnavailable), answer, func(out *output) { showDataloss(out, answer, unavailable) })
		}),
	}
}

// allDataloss collects the pages into one answer.
func allDataloss(ctx context.Context, c *admin.Client, request admin.DatalossRequest) (admin.DatalossResponse, error) {
	all, err := inPages(0, func(_ int, last *admin.Repository) ([]admin.Repository, bool, error) {
		if last != nil {
			request.After = &state.Key{VirtualStorage: last.VirtualStorage, RelativePath: last.RelativePath}
		}
		page, err := c.Dataloss(ctx, request)
		return page.Repositories, page.More, err
	})
	return admin.DatalossResponse{Schema: admin.Schema, Repositories: all}, err
}

func showDataloss(out *output, answer admin.DatalossResponse, unavailable int) {
	if len(answer.Repositories) == 0 {
		out.printf("%s every repository is on every storage that serves\n", out.mark(good))
		return
	}
	out.table([]string{"", "VIRTUAL STORAGE", "REPOSITORY", "AVAILABLE", "BEHIND"}, each(answer.Repositories, func(r admin.Repository) []string {
		mark := busy
		if !r.Available {
			mark = bad
		}
		return []string{out.mark(mark), r.VirtualStorage, r.RelativePath, yesNo(r.Available), strings.Join(r.Behind, ", ")}
	}))
	for i := range answer.Repositories {
		showConflicts(out, answer.Repositories[i])
	}
	out.printf("\nrepositories: %d behind on a storage, %d of them unavailable\n", len(answer.Repositories), unavailable)
}

// showConflicts shows both sides of each conflict of a repository.
func showConflicts(out *output, r admin.Repository) {
	for i := range r.Conflicts {
		c := &r.Conflicts[i]
		if c.Primary == "" {
			out.printf("\n%s %s in %s is in conflict: %s has a replica that could not be compared, because no storage of the repository serves\n",
				out.mark(warning), r.RelativePath, r.VirtualStorage, c.Storage)
			continue
		}
		out.printf("\n%s %s in %s is in conflict: %s has what %s lacks; compared at %s\n",
			out.mark(warning), r.RelativePath, r.VirtualStorage, c.Storage, c.Primary, time.UnixMilli(c.Time).UTC().Format(time.RFC3339))
		out.table([]string{"SIDE", "NEWEST COMMIT", "COMMITTED"}, [][]string{sideRow(c.Primary, c.Here), sideRow(c.Storage, c.There)})
		if len(c.Sample) == 0 {
			continue
		}
		showReferences(out, c.Primary, c.Storage, c.Sample)
		if more := c.Differing - len(c.Sample); more > 0 {
			out.printf("and %d more references differ\n", more)
		}
	}
}

func sideRow(storage string, side state.ConflictSide) []string {
	switch {
	case side.Absent:
		return []string{storage, "the repository is absent", ""}
	case side.Commit == "":
		return []string{storage, "not known", ""}
	}
	return []string{storage, side.Commit, time.Unix(side.Time, 0).UTC().Format(time.RFC3339)}
}
