package gitalytest

import (
	"context"

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
	repos, refs, edits := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient, gitalypb.NewOperationServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	return []call{
		{"UserCreateBranch", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserCreateBranch(c, &gitalypb.UserCreateBranchRequest{Repository: r})
			return err
		}},
		{"UserUpdateBranch", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserUpdateBranch(c, &gitalypb.UserUpdateBranchRequest{Repository: r})
			return err
		}},
		{"UserDeleteBranch", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserDeleteBranch(c, &gitalypb.UserDeleteBranchRequest{Repository: r})
			return err
		}},
		{"UserCreateTag", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserCreateTag(c, &gitalypb.UserCreateTagRequest{Repository: r})
			return err
		}},
		{"UserDeleteTag", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserDeleteTag(c, &gitalypb.UserDeleteTagRequest{Repository: r})
			return err
		}},
		{"UserFFBranch", fails, func(c ctx, to conn, r repo) error {
			_, err := edits(to).UserFFBranch(c, &gitalypb.UserFFBranchRequest{Repository: r})
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
		{"FetchSourceBranch", fails, func(c ctx, to conn, r repo) error {
			_, err := repos(to).FetchSourceBranch(c, &gitalypb.FetchSourceBranchRequest{Repository: r})
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
