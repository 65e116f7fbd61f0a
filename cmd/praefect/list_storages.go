package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"praefect/config"
)

func (p *program) listStorages() *cli.Command {
	return &cli.Command{
		Name:  "list-storages",
		Usage: "list the storages of the settings",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "virtual-storage", Usage: "only this virtual storage: `NAME`"},
		},
		Action: p.withSettings(func(_ context.Context, cmd *cli.Command, cfg *config.Config) error {
			return p.print(showStorages(cfg, cmd.String("virtual-storage")))
		}),
	}
}

func showStorages(cfg *config.Config, wanted string) string {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 8, 1, '\t', 0)
	row := func(cells ...any) { fmt.Fprintf(table, "%s\t%s\t%s\n", cells...) } // a strings.Builder returns no error
	row("VIRTUAL_STORAGE", "NODE", "ADDRESS")
	any := false
	for _, vs := range cfg.VirtualStorages {
		if wanted != "" && wanted != vs.Name {
			continue
		}
		any = true
		for _, node := range vs.Nodes {
			row(vs.Name, node.Storage, node.Address)
		}
	}
	if !any {
		return "No virtual storages named " + wanted + ".\n"
	}
	_ = table.Flush() // likewise
	return text.String()
}
