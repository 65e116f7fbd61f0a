package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/config"
	"praefect/proxy/admin"
)

func (p *program) acceptDataloss() *cli.Command {
	return &cli.Command{
		Name:  "accept-dataloss",
		Usage: "declare one storage's replica of a repository the right one",
		Description: "What only the other storages have of the repository is given up for ever; they are\n" +
			"repaired from the authoritative one. praefectctl accept-dataloss asks before it does.",
		Flags: append(repositoryFlags(),
			&cli.StringFlag{Name: "authoritative-storage", Required: true, Usage: "the `STORAGE` whose replica is right"},
			&cli.StringFlag{Name: "why", Usage: "the `REASON`, for the history and the record of losses"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return p.withInstance(ctx, cmd, func(ctx context.Context, cfg *config.Config, cc *grpc.ClientConn) error {
				ctx, cancel := context.WithTimeout(ctx, instanceCallTimeout)
				defer cancel()
				wanted := admin.Authority{
					VirtualStorage: cmd.String("virtual-storage"), RelativePath: cmd.String("relative-path"), Storage: cmd.String("authoritative-storage"),
					Why: cmd.String("why"),
				}
				_, err := gitalypb.NewPraefectInfoServiceClient(cc).SetAuthoritativeStorage(wanted.Show(ctx, adminToken(cfg)), &gitalypb.SetAuthoritativeStorageRequest{
					VirtualStorage: wanted.VirtualStorage, RelativePath: wanted.RelativePath, AuthoritativeStorage: wanted.Storage,
				})
				if err != nil {
					return fmt.Errorf("set the authoritative storage: %w", err)
				}
				return nil
			})
		},
	}
}
