package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/config"
	"praefect/consensus/membership"
	"praefect/consensus/store"
)

// raft are commands beside the daemon, which must not run, on the data directory of its instance.
func (p *program) raft() *cli.Command {
	return &cli.Command{
		Name:        "raft",
		Usage:       "change the state of this instance while it is stopped",
		Description: "They work on raft.data_dir. If that is not in the settings but comes from the service manager,\ngive the command the same: STATE_DIRECTORY=/var/lib/praefect praefect -config FILE raft rejoin",
		Action:      groupHelp,
		Commands:    []*cli.Command{p.raftRejoin(), p.raftRename(), p.raftRecover()},
	}
}

func (p *program) raftRejoin() *cli.Command {
	return &cli.Command{
		Name:  "rejoin",
		Usage: "have this instance join the cluster of its listed peers",
		Description: "The instance's state is set aside, in a directory beside it, and nothing is removed. At its next\n" +
			"start the instance has no state, and joins the cluster that its listed peers (raft.peer) have.",
		Flags: []cli.Flag{
			confirmFlag("INSTANCE"),
			&cli.BoolFlag{Name: "force", Usage: "set the state aside although no listed peer is of another cluster"},
		},
		Action: p.withSettings(p.rejoin),
	}
}

func (p *program) rejoin(ctx context.Context, cmd *cli.Command, cfg *config.Config) error {
	found, err := store.Inspect(ctx, cfg.Raft.DataDir)
	if err != nil {
		return err
	}
	if err := p.println(fmt.Sprintf("%s holds the state of instance %q, of cluster %s.", found.Path, cmp.Or(found.Name, cfg.Raft.Name), cmp.Or(found.ClusterID, "none"))); err != nil {
		return err
	}
	others, err := membership.AskClusters(ctx, nodeConfig(cfg, p.log()), found)
	if err != nil {
		return err
	}
	joinable := false
	for _, o := range others {
		says := "of the same cluster, or of none"
		switch {
		case o.Cluster != "":
			joinable = true
			says = "of cluster " + o.Cluster
		case o.Err != nil:
			says = fmt.Sprintf("not reached: %v", o.Err)
		}
		if err := p.println(fmt.Sprintf("  listed peer %q: %s", o.Name, says)); err != nil {
			return err
		}
	}
	if !joinable && !cmd.Bool("force") {
		return errors.New("no listed peer (raft.peer) is of another cluster, so there is none to join: start one of that cluster, or add -force; nothing was changed")
	}
	err = p.println("What only this state knows is set aside with it: which repositories miss writes on which storages since the clusters\n" +
		"went apart. The repositories themselves are not touched. praefectctl dataloss shows them while this instance runs.")
	if err != nil {
		return err
	}
	if err := p.confirm(ctx, cmd, "the name of the instance", cfg.Raft.Name); err != nil {
		return err
	}
	aside, err := store.SetAside(ctx, cfg.Raft.DataDir, time.Now())
	if err != nil {
		return err
	}
	return p.println("The state was set aside to " + aside + ". Start praefect: it joins the cluster of its peers.")
}

func (p *program) raftRename() *cli.Command {
	return &cli.Command{
		Name:        "rename",
		Usage:       "give raft.data_dir to the same instance under another name",
		Description: "The data directory names its instance, so that no other one takes its part. After raft.name was\nchanged for the same instance, this says so.",
		Flags:       []cli.Flag{confirmFlag("INSTANCE")},
		Action: p.withSettings(func(ctx context.Context, cmd *cli.Command, cfg *config.Config) error {
			found, err := store.Inspect(ctx, cfg.Raft.DataDir)
			if err != nil {
				return err
			}
			if found.Name == cfg.Raft.Name {
				return p.println(fmt.Sprintf("%s belongs to instance %q already.", found.Path, found.Name))
			}
			err = p.println(fmt.Sprintf("%s belongs to instance %q (id %s). It must be this instance's own: if %q still exists, with this directory or a copy,\n"+
				"both vote in its place, and what the cluster agreed on is lost.", found.Path, found.Name, found.ID, found.Name))
			if err != nil {
				return err
			}
			if err := p.confirm(ctx, cmd, "the new name", cfg.Raft.Name); err != nil {
				return err
			}
			before, err := store.Rename(ctx, cfg.Raft.DataDir, cfg.Raft.Name)
			if err != nil {
				return err
			}
			return p.println(fmt.Sprintf("Instance %q is %q now.", before, cfg.Raft.Name))
		}),
	}
}
