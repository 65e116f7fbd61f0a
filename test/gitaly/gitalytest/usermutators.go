package gitalytest

import (
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// userMutators are the methods of every release of Gitaly by which users change branches and tags,
// and by which references are fetched from another repository.
func (s *suite) userMutators() []mutator {
	repos, edits := gitalypb.NewRepositoryServiceClient, gitalypb.NewOperationServiceClient
	return []mutator{
		{"UserCreateBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(edits(to).UserCreateBranch(c, &gitalypb.UserCreateBranchRequest{
				Repository: r, BranchName: []byte("absent"), StartPoint: []byte(o.Commits[1]), User: user(),
			}))
		}},
		{"UserDeleteBranch", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserDeleteBranch(c, &gitalypb.UserDeleteBranchRequest{Repository: r, BranchName: []byte("gone"), User: user()}))
		}},
		{"UserCreateTag", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(edits(to).UserCreateTag(c, &gitalypb.UserCreateTagRequest{
				Repository: r, TagName: []byte("v1"), User: user(), TargetRevision: []byte(o.Commits[0]), Message: []byte("v1"), Timestamp: at(),
			}))
		}},
		{"UserFFBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(edits(to).UserFFBranch(c, &gitalypb.UserFFBranchRequest{Repository: r, User: user(), Branch: []byte("gone"), CommitId: o.Commits[2]}))
		}},
		{"FetchSourceBranch", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).FetchSourceBranch(s.sources(t, c), &gitalypb.FetchSourceBranchRequest{
				Repository: r, SourceRepository: s.repository(source), SourceBranch: []byte("main"), TargetRef: []byte("refs/merge/1"),
			}))
		}},
		{"FetchIntoObjectPool", poolPath, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			origin := named(r.GetStorageName(), present)
			return errorOf(gitalypb.NewObjectPoolServiceClient(to).FetchIntoObjectPool(c, &gitalypb.FetchIntoObjectPoolRequest{ObjectPool: pool(r.GetStorageName()), Origin: origin}))
		}},
		{"UserUpdateBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(edits(to).UserUpdateBranch(c, &gitalypb.UserUpdateBranchRequest{
				Repository: r, BranchName: []byte("main"), User: user(), Oldrev: []byte(o.Commits[1]), Newrev: []byte(o.Commits[2]),
			}))
		}},
		{"UserDeleteTag", present, func(t test, r repo) { s.write(t, r, "refs/tags/v0", "refs/heads/main", "") }, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(edits(to).UserDeleteTag(c, &gitalypb.UserDeleteTagRequest{Repository: r, TagName: []byte("v0"), User: user()}))
		}},
		{"UserMergeBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return exchange(c, edits(to).UserMergeBranch, &gitalypb.UserMergeBranchRequest{
				Repository: r, User: user(), CommitId: o.Commits[2], Branch: []byte("main"), Message: []byte("merge"), Timestamp: at(),
			}, &gitalypb.UserMergeBranchRequest{Apply: true})
		}},
	}
}
