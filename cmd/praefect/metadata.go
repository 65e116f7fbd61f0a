package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/config"
)

func (p *program) metadata() *cli.Command {
	return &cli.Command{
		Name:  "metadata",
		Usage: "show what is known of a repository and its replicas",
		Description: "The generation of a repository whose replicas are all equal is 0, otherwise the\n" +
			"index of the last change of its entry in the replicated state.",
		Flags: []cli.Flag{
			&cli.Int64Flag{Name: "repository-id", Usage: "the repository's `NUMBER`"},
			&cli.StringFlag{Name: "virtual-storage", Usage: "the repository's virtual storage: `NAME`"},
			&cli.StringFlag{Name: "relative-path", Usage: "the repository's relative `PATH`"},
		},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			request, err := metadataRequest(cmd)
			if err != nil {
				return err
			}
			return p.withInstance(ctx, cmd, func(ctx context.Context, _ *config.Config, cc *grpc.ClientConn) error {
				ctx, cancel := context.WithTimeout(ctx, instanceCallTimeout)
				defer cancel()
				found, err := gitalypb.NewPraefectInfoServiceClient(cc).GetRepositoryMetadata(ctx, request)
				if err != nil {
					return fmt.Errorf("get metadata: %w", err)
				}
				return p.print(showMetadata(found))
			})
		},
	}
}

func metadataRequest(cmd *cli.Command) (*gitalypb.GetRepositoryMetadataRequest, error) {
	vs, path := cmd.String("virtual-storage"), cmd.String("relative-path")
	switch byID := cmd.IsSet("repository-id"); {
	case byID && (vs != "" || path != ""):
		return nil, errors.New("virtual storage and relative path can't be provided with a repository ID")
	case byID:
		return &gitalypb.GetRepositoryMetadataRequest{
			Query: &gitalypb.GetRepositoryMetadataRequest_RepositoryId{RepositoryId: cmd.Int64("repository-id")},
		}, nil
	case vs == "" && path == "":
		return nil, errors.New("repository id or virtual storage and relative path required")
	case vs == "":
		return nil, errors.New("virtual storage is required with relative path")
	case path == "":
		return nil, errors.New("relative path is required with virtual storage")
	}
	return metadataByPath(vs, path), nil
}

func metadataByPath(virtualStorage, path string) *gitalypb.GetRepositoryMetadataRequest {
	return &gitalypb.GetRepositoryMetadataRequest{Query: &gitalypb.GetRepositoryMetadataRequest_Path_{
		Path: &gitalypb.GetRepositoryMetadataRequest_Path{VirtualStorage: virtualStorage, RelativePath: path},
	}}
}

// showMetadata keeps to upstream's form, because scripts read it.
func showMetadata(r *gitalypb.GetRepositoryMetadataResponse) string {
	var text strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&text, format+"\n", args...) } // returns no error
	line("Repository ID: %d", r.GetRepositoryId())
	line("Virtual Storage: %q", r.GetVirtualStorage())
	line("Relative Path: %q", r.GetRelativePath())
	line("Replica Path: %q", r.GetReplicaPath())
	line("Primary: %q", r.GetPrimary())
	line("Generation: %d", r.GetGeneration())
	line("Replicas:")
	for _, replica := range r.GetReplicas() {
		generation := "replica not yet created"
		switch behind := r.GetGeneration() - replica.GetGeneration(); {
		case replica.GetGeneration() < 0:
		case behind == 0:
			generation = fmt.Sprintf("%d, fully up to date", replica.GetGeneration())
		default:
			generation = fmt.Sprintf("%d, behind by %d changes", replica.GetGeneration(), behind)
		}
		verified := "unverified"
		if at := replica.GetVerifiedAt(); at.IsValid() {
			verified = at.AsTime().Truncate(time.Second).String()
		}
		line("- Storage: %q", replica.GetStorage())
		line("  Assigned: %t", replica.GetAssigned())
		line("  Generation: %s", generation)
		line("  Healthy: %t", replica.GetHealthy())
		line("  Valid Primary: %t", replica.GetValidPrimary())
		line("  Verified At: %s", verified)
	}
	return text.String()
}
