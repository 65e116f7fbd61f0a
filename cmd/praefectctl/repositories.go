package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/fsm/state"
	"praefect/proxy/admin"
)

func (p *program) repositoryList() *cli.Command {
	filters := each(admin.RepositoryFilters(), func(f admin.RepositoryFilter) string { return string(f) })
	return &cli.Command{
		Name:  "list",
		Usage: "list repositories, all or those that something is wrong with",
		Description: "With -filter or -storage only the ledger is asked: that works without Postgres, and costs\n" +
			"the same however many repositories there are. Without, the catalogue in Postgres is read.",
		Flags: watchFlags(virtualStorageFlag(),
			&cli.StringFlag{Name: "filter", Usage: "only repositories that are `STATE`: " + strings.Join(filters, ", ")},
			&cli.StringFlag{Name: "storage", Usage: "only repositories that this `STORAGE` is behind for"},
			&cli.StringFlag{Name: "prefix", Usage: "only relative paths that begin with this `TEXT`"},
			&cli.StringFlag{Name: "after", Usage: "begin after this relative `PATH`; needs -virtual-storage if there are several"},
			&cli.IntFlag{Name: "limit", Value: 1000, Usage: "at most this `NUMBER` of repositories; 0 is all"}),
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			limit := r.cmd.Int("limit")
			if limit < 0 {
				return usage("-limit is %d: want 0 or more", limit)
			}
			request := admin.RepositoriesRequest{
				VirtualStorage: r.cmd.String("virtual-storage"), Filter: admin.RepositoryFilter(r.cmd.String("filter")), Storage: r.cmd.String("storage"), Prefix: r.cmd.String("prefix"),
			}
			answer, err := inTime(ctx, r, func(ctx context.Context, c *admin.Client) (admin.RepositoriesResponse, error) {
				if err := begin(ctx, c, &request, r.cmd.String("after")); err != nil {
					return admin.RepositoriesResponse{}, err
				}
				return repositoriesUpTo(ctx, c, request, limit)
			})
			if err != nil {
				return err
			}
			return r.answer(answer, func(out *output) { showRepositories(out, answer) })
		}),
	}
}

// begin lets a request begin after a path.
func begin(ctx context.Context, c *admin.Client, request *admin.RepositoriesRequest, after string) error {
	if after == "" {
		return nil
	}
	vs := request.VirtualStorage
	if vs == "" {
		status, err := c.Status(ctx, admin.StatusRequest{})
		if err != nil {
			return err
		}
		if len(status.VirtualStorages) != 1 {
			return usage("-after: there are %d virtual storages, name one by -virtual-storage", len(status.VirtualStorages))
		}
		vs = status.VirtualStorages[0].Name
	}
	request.After = &state.Key{VirtualStorage: vs, RelativePath: after}
	return nil
}

// repositoriesUpTo collects pages into one answer of at most limit repositories; 0 is all.
func repositoriesUpTo(ctx context.Context, c *admin.Client, request admin.RepositoriesRequest, limit int) (admin.RepositoriesResponse, error) {
	var all admin.RepositoriesResponse
	repositories, err := inPages(limit, func(most int, last *admin.ListedRepository) (page []admin.ListedRepository, more bool, err error) {
		request.Limit = most
		if last != nil {
			request.After = &state.Key{VirtualStorage: last.VirtualStorage, RelativePath: last.RelativePath}
		}
		all, err = c.Repositories(ctx, request)
		return all.Repositories, all.More, err
	})
	all.Repositories = repositories
	return all, err
}

func showRepositories(out *output, a admin.RepositoriesResponse) {
	if len(a.Repositories) > 0 {
		header := []string{"", "VIRTUAL STORAGE", "REPOSITORY", "STATE", "PRIMARY", "+AVAILABLE", "BEHIND"}
		out.table(header, each(a.Repositories, func(l admin.ListedRepository) []string {
			return []string{out.mark(repositorySign(l)), l.VirtualStorage, l.RelativePath, l.State, l.Primary, yesNo(l.Available), strings.Join(l.Behind, ", ")}
		}))
	}
	more := ""
	if a.More {
		last := a.Repositories[len(a.Repositories)-1]
		more = fmt.Sprintf("; there may be more: -virtual-storage %s -after %s", last.VirtualStorage, last.RelativePath)
	}
	out.printf("\nrepositories: %d%s; answered by %s\n", len(a.Repositories), more, a.Instance)
}

func repositorySign(l admin.ListedRepository) sign {
	switch {
	case !l.Available:
		return bad
	case len(l.Behind) > 0 || l.State == string(admin.FilterConflict):
		return warning
	case l.State == "clean":
		return good
	}
	return busy
}
