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
			&cli.StringFlag{Name: "authoritative-storage", Required: true, Usage: "the `STORAGE` whose replica is right"}),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			return p.withInstance(ctx, cmd, func(ctx context.Context, cfg *config.Config, cc *grpc.ClientConn) error {
				ctx, cancel := context.WithTimeout(ctx, instanceCallTimeout)
				defer cancel()
				ctx, err := admin.Show(ctx, adminToken(cfg))
				if err != nil {
					return err
				}
				_, err = gitalypb.NewPraefectInfoServiceClient(cc).SetAuthoritativeStorage(ctx, &gitalypb.SetAuthoritativeStorageRequest{
					VirtualStorage: cmd.String("virtual-storage"), RelativePath: cmd.String("relative-path"),
					AuthoritativeStorage: cmd.String("authoritative-storage"),
				})
				if err != nil {
					return fmt.Errorf("set the authoritative storage: %w", err)
				}
				return nil
			})
		},
	}
}
