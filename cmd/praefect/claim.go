package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/urfave/cli/v3"

	"praefect/consensus/store"
	"praefect/replicator/postgres"
)

// claimAlive is how lately a claim must have been confirmed for its cluster to count as running.
const claimAlive = 5 * confirmEvery

func (p *program) claim() *cli.Command {
	return &cli.Command{
		Name:  "claim",
		Usage: "list and remove the claims of clusters on virtual storages",
		Description: "The first cluster that begins with a virtual storage claims it in Postgres, so that no\n" +
			"second one serves the same storages. A claim is only removed when its cluster is gone for good.",
		Action: groupHelp,
		Commands: []*cli.Command{
			{
				Name: "list", Usage: "list the claims",
				Action: p.withDatabase(func(ctx context.Context, _ *cli.Command, db *postgres.DB) error {
					held, err := postgres.NewClaims(db).List(ctx)
					if err != nil {
						return err
					}
					return p.println(showClaims(held))
				}),
			},
			{
				Name: "remove", Usage: "remove the claim on a virtual storage", ArgsUsage: "VIRTUAL-STORAGE",
				Description: "Another cluster can claim the virtual storage then. A cluster that still runs claims it\n" +
					"again within seconds, unless another one comes first: then it serves nothing any more.",
				Flags: []cli.Flag{
					confirmFlag("VIRTUAL-STORAGE"),
					&cli.BoolFlag{Name: "force", Usage: "remove it although its cluster seems to run"},
				},
				Action: func(ctx context.Context, cmd *cli.Command) error {
					if cmd.Args().Len() != 1 {
						return errors.New("claim remove takes one argument: the name of the virtual storage")
					}
					cfg, err := p.settings(ctx, cmd)
					if err != nil {
						return err
					}
					return p.openDatabase(ctx, cmd, func(ctx context.Context, db *postgres.DB) error {
						name := cmd.Args().First()
						if err := p.removeClaim(ctx, cmd, postgres.NewClaims(db), name); err != nil {
							return err
						}
						return forgetLostClaim(cfg.Raft.DataDir, name)
					})
				},
			},
		},
	}
}

// forgetLostClaim has the instance on this host, if there is one, forget that another cluster had claimed
// the virtual storage. The instances that run notice it by themselves.
func forgetLostClaim(dir, name string) error {
	lost, err := store.ReadLostClaims(dir)
	if err != nil {
		return fmt.Errorf("the claim was removed, but the instance on this host could still remember it when it starts without Postgres: %w", err)
	}
	rest := slices.DeleteFunc(slices.Clone(lost), func(l store.LostClaim) bool { return l.VirtualStorage == name })
	if len(rest) == len(lost) {
		return nil
	}
	if err := store.WriteLostClaims(dir, rest); err != nil {
		return fmt.Errorf("the claim was removed, but the instance on this host remembers it when it starts without Postgres: %w", err)
	}
	return nil
}

func showClaims(held []postgres.Claim) string {
	t := table.NewWriter()
	t.AppendHeader(table.Row{"VIRTUAL STORAGE", "CLUSTER", "INSTANCE", "HOST", "SINCE", "CONFIRMED"})
	for _, c := range held {
		t.AppendRow(table.Row{c.VirtualStorage, c.ClusterID, c.Instance, c.Host, c.Since.Format(time.RFC3339), c.Seen.Format(time.RFC3339)})
	}
	return t.Render()
}

func (p *program) removeClaim(ctx context.Context, cmd *cli.Command, table *postgres.Claims, name string) error {
	held, err := table.List(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(held, func(c postgres.Claim) bool { return c.VirtualStorage == name })
	if i < 0 {
		return fmt.Errorf("no cluster has claimed virtual storage %q; praefect claim list shows the claims", name)
	}
	c := held[i]
	err = p.println(fmt.Sprintf("Virtual storage %q belongs to cluster %s: instance %q on host %q has claimed it at %s.\nThe cluster has confirmed the claim %s ago.",
		c.VirtualStorage, c.ClusterID, c.Instance, c.Host, c.Since.Format(time.RFC3339), c.SeenAgo.Round(time.Second)))
	if err != nil {
		return err
	}
	if c.SeenAgo < claimAlive && !cmd.Bool("force") {
		return fmt.Errorf("the cluster runs, or has run less than %v ago: stop every instance of it and wait, or add -force; nothing was changed", claimAlive)
	}
	if err := p.println("Without the claim another cluster can serve the same storages. If that one still runs, two do, and writes are lost."); err != nil {
		return err
	}
	if err := p.confirm(ctx, cmd, "the name of the virtual storage", name); err != nil {
		return err
	}
	removed, err := table.Remove(ctx, name, c.ClusterID)
	switch {
	case err != nil:
		return err
	case !removed:
		return errors.New("the claim has changed meanwhile: look again; nothing was changed")
	}
	return p.println(fmt.Sprintf("The claim of cluster %s on virtual storage %q was removed.", c.ClusterID, name))
}
