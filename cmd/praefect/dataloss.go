package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/cmd/terminal"
	"praefect/config"
)

func (p *program) dataloss() *cli.Command {
	return &cli.Command{
		Name:  "dataloss",
		Usage: "list the repositories that no storage can serve",
		Description: "A storage that is behind misses one change at least; how many is not counted.\n" +
			"praefectctl dataloss tells the same in a table or as JSON.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "virtual-storage", Usage: "only this virtual storage: `NAME`"},
			&cli.BoolFlag{Name: "partially-unavailable", Aliases: []string{"partially-replicated"}, Usage: "also those of which some storage is behind"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return p.withInstance(ctx, cmd, func(ctx context.Context, cfg *config.Config, cc *grpc.ClientConn) error {
				ctx, cancel := context.WithTimeout(ctx, instanceCallTimeout)
				defer cancel()
				client := gitalypb.NewPraefectInfoServiceClient(cc)
				for _, name := range virtualStorages(cfg, cmd.String("virtual-storage")) {
					if err := p.datalossOf(ctx, client, name, cmd.Bool("partially-unavailable")); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// virtualStorages are the names of the virtual storages in the settings, or the one that is asked
// for.
func virtualStorages(cfg *config.Config, wanted string) []string {
	if wanted != "" {
		return []string{wanted}
	}
	var names []string
	for _, vs := range cfg.VirtualStorages {
		names = append(names, vs.Name)
	}
	return names
}

// datalossOf keeps to upstream's form, because scripts read it.
func (p *program) datalossOf(ctx context.Context, client gitalypb.PraefectInfoServiceClient, name string, partially bool) error {
	request := &gitalypb.DatalossRequest{VirtualStorage: name, IncludePartiallyReplicated: partially}
	any := false
	err := eachLoss(ctx, client, request, func(r *gitalypb.DatalossResponse_Repository) error {
		text := showLoss(r)
		if !any {
			any = true
			text = "Virtual storage: " + name + "\n  Repositories:\n" + text
		}
		return p.print(text)
	})
	switch {
	case err != nil || any:
		return err
	case partially:
		return p.print("Virtual storage: " + name + "\n  All repositories are fully available on all assigned storages!\n")
	}
	return p.print("Virtual storage: " + name + "\n  All repositories are available!\n")
}

// eachLoss calls do for each repository that Dataloss names.
func eachLoss(ctx context.Context, client gitalypb.PraefectInfoServiceClient, request *gitalypb.DatalossRequest, do func(*gitalypb.DatalossResponse_Repository) error) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream if do fails
	defer cancel()
	stream, err := client.Dataloss(ctx, request)
	for err == nil {
		var page *gitalypb.DatalossResponse
		if page, err = stream.Recv(); err != nil {
			break
		}
		for _, r := range page.GetRepositories() {
			if err := do(r); err != nil {
				return err
			}
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return fmt.Errorf("ask what is lost: %w", err)
}

func showLoss(r *gitalypb.DatalossResponse_Repository) string {
	var text strings.Builder
	line := func(indent int, format string, args ...any) { // a strings.Builder returns no error
		fmt.Fprintf(&text, strings.Repeat("  ", indent)+format+"\n", args...)
	}
	note := ""
	if r.GetUnavailable() {
		note = " (unavailable)"
	}
	line(2, "%s%s:", terminal.Line(r.GetRelativePath()), note)
	primary := r.GetPrimary()
	if primary == "" {
		primary = "No Primary"
	}
	line(3, "Primary: %s", primary)
	line(3, "In-Sync Storages:")
	for _, s := range r.GetStorages() {
		if s.GetBehindBy() == 0 {
			line(4, "%s%s", s.GetName(), storageState(s))
		}
	}
	line(3, "Outdated Storages:")
	for _, s := range r.GetStorages() {
		if n := s.GetBehindBy(); n > 0 {
			changes := "changes"
			if n == 1 {
				changes = "change"
			}
			line(4, "%s is behind by %d %s or less%s", s.GetName(), n, changes, storageState(s))
		}
	}
	return text.String()
}

func storageState(s *gitalypb.DatalossResponse_Repository_Storage) string {
	text := ""
	if s.GetAssigned() {
		text = ", assigned host"
	}
	if !s.GetHealthy() {
		text += ", unhealthy"
	}
	return text
}
