package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"praefect/cmd/terminal"
	"praefect/proxy/admin"
)

// completionNames bounds the names that a shell is offered.
const completionNames = 50

// names prints the names of a kind that begin with a prefix, for completion.
func (p *program) names() *cli.Command {
	return &cli.Command{
		Name: "__names", Hidden: true,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			wanted, prefix := kind(cmd.Args().First()), cmd.Args().Get(1)
			if wanted == kindContexts {
				c, err := p.readContexts()
				if err != nil {
					return err
				}
				p.offer(slices.Sorted(maps.Keys(c.Contexts)), prefix, "context")
				return nil
			}
			to, err := p.endpoints(ctx, cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, cmd.Duration("timeout"))
			defer cancel()
			_, err = ask(ctx, to, func(ctx context.Context, c *admin.Client) (struct{}, error) {
				return struct{}{}, p.offerNames(ctx, c, wanted, prefix)
			})
			return err
		},
	}
}

// offerNames asks an instance for names.
func (p *program) offerNames(ctx context.Context, c *admin.Client, wanted kind, prefix string) error {
	switch wanted {
	case kindRepositories:
		request := admin.RepositoriesRequest{Prefix: prefix, Limit: completionNames}
		page, err := c.Repositories(ctx, request)
		if err != nil { // Postgres is away: then the repositories that something is wrong with
			request.Filter = admin.FilterListed
			if page, err = c.Repositories(ctx, request); err != nil {
				return err
			}
		}
		for _, r := range page.Repositories {
			p.offer([]string{r.RelativePath}, prefix, r.State)
		}
		return nil
	case kindInstances, kindMachines:
		raft, err := c.RaftStatus(ctx)
		if err != nil {
			return err
		}
		for _, i := range raft.Instances {
			p.offer([]string{i.Name}, prefix, "instance: "+string(i.State))
		}
		if wanted == kindInstances {
			return nil
		}
	}
	status, err := c.Status(ctx, admin.StatusRequest{})
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, vs := range status.VirtualStorages {
		if wanted == kindVirtualStorages {
			p.offer([]string{vs.Name}, prefix, "virtual storage: "+string(vs.Health))
			continue
		}
		for _, st := range vs.Storages {
			if !seen[st.Name] {
				seen[st.Name] = true
				p.offer([]string{st.Name}, prefix, "storage: "+string(st.State))
			}
		}
	}
	return nil
}

// offer prints names as candidates. One that a shell could take for something else is left out.
func (p *program) offer(names []string, prefix, about string) {
	for _, name := range names[:min(len(names), completionNames)] {
		if strings.HasPrefix(name, prefix) && terminal.Line(name) == name && !strings.ContainsAny(name, "\t\n \"'`$\\") {
			fmt.Fprintf(p.stdout, "%s\t%s\n", name, terminal.Line(about))
		}
	}
}
