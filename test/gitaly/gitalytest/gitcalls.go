package gitalytest

import (
	"context"
	"errors"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// gitCalls are the methods for a repository that only real git serves. Methods
// that need more than a repository to be valid are refused for it first.
func gitCalls() []call {
	type (
		ctx  = context.Context
		conn = *grpc.ClientConn
		repo = *gitalypb.Repository
	)
	repos, refs := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	return []call{
		{"CreateRepositoryFromBundle", creates, func(c ctx, to conn, r repo) error {
			stream, err := repos(to).CreateRepositoryFromBundle(c)
			if err != nil {
				return err
			}
			if err := stream.Send(&gitalypb.CreateRepositoryFromBundleRequest{Repository: r}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		}},
		{"DeleteRefs", fails, func(c ctx, to conn, r repo) error {
			_, err := refs(to).DeleteRefs(c, &gitalypb.DeleteRefsRequest{Repository: r})
			return err
		}},
		{"CreateFork", creates, func(c ctx, to conn, r repo) error {
			_, err := repos(to).CreateFork(c, &gitalypb.CreateForkRequest{Repository: r})
			return err
		}},
		{"GetCustomHooks", fails, func(c ctx, to conn, r repo) error {
			stream, err := repos(to).GetCustomHooks(c, &gitalypb.GetCustomHooksRequest{Repository: r})
			return drain(stream, err)
		}},
		{"CreateObjectPool", creates, func(c ctx, to conn, r repo) error {
			_, err := pools(to).CreateObjectPool(c, &gitalypb.CreateObjectPoolRequest{ObjectPool: &gitalypb.ObjectPool{Repository: r}})
			return err
		}},
		{"LinkRepositoryToObjectPool", fails, func(c ctx, to conn, r repo) error {
			_, err := pools(to).LinkRepositoryToObjectPool(c, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r})
			return err
		}},
		{"DisconnectGitAlternates", fails, func(c ctx, to conn, r repo) error {
			_, err := pools(to).DisconnectGitAlternates(c, &gitalypb.DisconnectGitAlternatesRequest{Repository: r})
			return err
		}},
		{"GetObjectPool", fails, func(c ctx, to conn, r repo) error {
			_, err := pools(to).GetObjectPool(c, &gitalypb.GetObjectPoolRequest{Repository: r})
			return err
		}},
	}
}
