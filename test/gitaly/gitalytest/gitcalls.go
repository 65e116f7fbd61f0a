package gitalytest

import (
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// gitCalls are the methods for a repository that only real git serves. Methods
// that need more than a repository to be valid are refused for it first.
func gitCalls() []call {
	repos, refs := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	return []call{
		{"CreateRepositoryFromBundle", creates, func(c ctx, to conn, r repo) error {
			return errorOf(upload(c, repos(to).CreateRepositoryFromBundle, &gitalypb.CreateRepositoryFromBundleRequest{Repository: r}))
		}},
		{"DeleteRefs", fails, func(c ctx, to conn, r repo) error {
			return errorOf(refs(to).DeleteRefs(c, &gitalypb.DeleteRefsRequest{Repository: r}))
		}},
		{"CreateFork", creates, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).CreateFork(c, &gitalypb.CreateForkRequest{Repository: r}))
		}},
		{"GetCustomHooks", fails, func(c ctx, to conn, r repo) error {
			return drain(repos(to).GetCustomHooks(c, &gitalypb.GetCustomHooksRequest{Repository: r}))
		}},
		{"CreateObjectPool", creates, func(c ctx, to conn, r repo) error {
			return errorOf(pools(to).CreateObjectPool(c, &gitalypb.CreateObjectPoolRequest{ObjectPool: &gitalypb.ObjectPool{Repository: r}}))
		}},
		{"LinkRepositoryToObjectPool", fails, func(c ctx, to conn, r repo) error {
			return errorOf(pools(to).LinkRepositoryToObjectPool(c, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r}))
		}},
		{"DisconnectGitAlternates", fails, func(c ctx, to conn, r repo) error {
			return errorOf(pools(to).DisconnectGitAlternates(c, &gitalypb.DisconnectGitAlternatesRequest{Repository: r}))
		}},
		{"GetObjectPool", fails, func(c ctx, to conn, r repo) error {
			return errorOf(pools(to).GetObjectPool(c, &gitalypb.GetObjectPoolRequest{Repository: r}))
		}},
	}
}
