package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/config"
)

func (p *program) verify() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "mark replicas unverified, so that they are verified before all others",
		Description: "The leader compares them with their primaries in the background. To wait for the\n" +
			"result use praefectctl verify.",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "repository-id", Usage: "the repository's `NUMBER`"},
			&cli.StringFlag{Name: "virtual-storage", Usage: "all repositories of this virtual storage: `NAME`"},
			&cli.StringFlag{Name: "storage", Usage: "only the replicas on this storage of it: `NAME`"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			request, err := verifyRequest(cmd)
			if err != nil {
				return err
			}
			return p.withInstance(ctx, cmd, func(ctx context.Context, _ *config.Config, cc *grpc.ClientConn) error {
				marked, err := gitalypb.NewPraefectInfoServiceClient(cc).MarkUnverified(ctx, request)
				if err != nil {
					return fmt.Errorf("verify replicas: %w", err)
				}
				return p.print(fmt.Sprintf("%d replicas marked unverified\n", marked.GetReplicasMarked()))
			})
		},
	}
}

// verifyRequest is the request in the words of upstream's command.
func verifyRequest(cmd *cli.Command) (*gitalypb.MarkUnverifiedRequest, error) {
	vs, storage := cmd.String("virtual-storage"), cmd.String("storage")
	switch byID := cmd.IsSet("repository-id"); {
	case byID && (vs != "" || storage != ""):
		return nil, errors.New("virtual storage and storage can't be provided with a repository ID")
	case byID:
		return &gitalypb.MarkUnverifiedRequest{
			Selector: &gitalypb.MarkUnverifiedRequest_RepositoryId{RepositoryId: cmd.Int64("repository-id")},
		}, nil
	case vs == "" && storage == "":
		return nil, errors.New("repository id or virtual storage required")
	case vs == "":
		return nil, errors.New("virtual storage is required with storage")
	case storage == "":
		return &gitalypb.MarkUnverifiedRequest{Selector: &gitalypb.MarkUnverifiedRequest_VirtualStorage{VirtualStorage: vs}}, nil
	}
	return &gitalypb.MarkUnverifiedRequest{Selector: &gitalypb.MarkUnverifiedRequest_Storage_{
		Storage: &gitalypb.MarkUnverifiedRequest_Storage{VirtualStorage: vs, Storage: storage},
	}}, nil
}
