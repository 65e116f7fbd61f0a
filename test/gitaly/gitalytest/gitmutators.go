package gitalytest

import (
	"context"
	"errors"
	"io"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// gitMutators are the methods that only real git serves.
func (s *suite) gitMutators() []mutator {
	sources := func(ctx context.Context, t *testing.T) context.Context {
		return WithServer(t, ctx, s.Storage, s.Address, s.Token)
	}
	repos, refs, edits := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient, gitalypb.NewOperationServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	type (
		test = *testing.T
		ctx  = context.Context
		conn = *grpc.ClientConn
		repo = *gitalypb.Repository
	)
	pool := func(r repo) *gitalypb.ObjectPool {
		return &gitalypb.ObjectPool{Repository: named(r.GetStorageName(), poolPath)}
	}
	return []mutator{
		{"UserCommitFiles", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			elsewhere := *s
			elsewhere.ctx, elsewhere.edits = c, edits(to)
			_, err := elsewhere.tryCommit(t, r, "main", "", "new", "new")
			return err
		}},
		{"UserCreateBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserCreateBranch(c, &gitalypb.UserCreateBranchRequest{
				Repository: r, BranchName: []byte("absent"), StartPoint: []byte(o.Commits[1]), User: user(),
			})
			return err
		}},
		{"UserDeleteBranch", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := edits(to).UserDeleteBranch(c, &gitalypb.UserDeleteBranchRequest{Repository: r, BranchName: []byte("gone"), User: user()})
			return err
		}},
		{"UserCreateTag", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserCreateTag(c, &gitalypb.UserCreateTagRequest{
				Repository: r, TagName: []byte("v1"), User: user(), TargetRevision: []byte(o.Commits[0]), Message: []byte("v1"), Timestamp: at(),
			})
			return err
		}},
		{"UserFFBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserFFBranch(c, &gitalypb.UserFFBranchRequest{Repository: r, User: user(), Branch: []byte("gone"), CommitId: o.Commits[2]})
			return err
		}},
		{"DeleteRefs", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := refs(to).DeleteRefs(c, &gitalypb.DeleteRefsRequest{Repository: r, Refs: patterns("refs/heads/gone", "refs/heads/topic")})
			return err
		}},
		{"CreateFork", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).CreateFork(sources(c, t), &gitalypb.CreateForkRequest{
				Repository: r, SourceRepository: s.repository(source),
			})
			return err
		}},
		{"FetchSourceBranch", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).FetchSourceBranch(sources(c, t), &gitalypb.FetchSourceBranchRequest{
				Repository: r, SourceRepository: s.repository(source), SourceBranch: []byte("main"), TargetRef: []byte("refs/merge/1"),
			})
			return err
		}},
		{"SetCustomHooks", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			stream, err := repos(to).SetCustomHooks(c)
			if err != nil {
				return err
			}
			data := archived(t, map[string]string{"custom_hooks/update": "#!/bin/sh\n"})
			if err := stream.Send(&gitalypb.SetCustomHooksRequest{Repository: r, Data: data}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		}},
		{"LinkRepositoryToObjectPool", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := pools(to).LinkRepositoryToObjectPool(c, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r, ObjectPool: pool(r)})
			return err
		}},
		{"FetchIntoObjectPool", poolPath, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			origin := named(r.GetStorageName(), present)
			_, err := pools(to).FetchIntoObjectPool(c, &gitalypb.FetchIntoObjectPoolRequest{ObjectPool: pool(r), Origin: origin})
			return err
		}},
		{"UserUpdateBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserUpdateBranch(c, &gitalypb.UserUpdateBranchRequest{
				Repository: r, BranchName: []byte("main"), User: user(), Oldrev: []byte(o.Commits[1]), Newrev: []byte(o.Commits[2]),
			})
			return err
		}},
		{"UserDeleteTag", present, func(t test, r repo) { s.write(t, r, "refs/tags/v0", "refs/heads/main", "") }, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := edits(to).UserDeleteTag(c, &gitalypb.UserDeleteTagRequest{Repository: r, TagName: []byte("v0"), User: user()})
			return err
		}},
		{"UserMergeBranch", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			stream, err := edits(to).UserMergeBranch(c)
			if err != nil {
				return err
			}
			for _, req := range []*gitalypb.UserMergeBranchRequest{
				{Repository: r, User: user(), CommitId: o.Commits[2], Branch: []byte("main"), Message: []byte("merge"), Timestamp: at()},
				{Apply: true},
			} {
				if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
			}
			return drain(stream, nil)
		}},
		{"UpdateReferences", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return update(c, refs(to), r, [3]string{"refs/heads/main", "", o.Commits[0]}, [3]string{"refs/heads/gone", "", zero})
		}},
		{"WriteRef that deletes", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := repos(to).WriteRef(c, &gitalypb.WriteRefRequest{
				Repository: r, Ref: []byte("refs/heads/gone"), Revision: []byte(zero), OldRevision: []byte(o.Commits[0]),
			})
			return err
		}},
		{"SSHReceivePack", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			stream, err := gitalypb.NewSSHServiceClient(to).SSHReceivePack(c)
			if err != nil {
				return err
			}
			for _, req := range []*gitalypb.SSHReceivePackRequest{{Repository: r, GlId: "key-1"}, {Stdin: deletion("refs/heads/gone", o.Commits[0])}} {
				if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
					return err
				}
			}
			return errors.Join(stream.CloseSend(), drain(stream, nil))
		}},
		{"ReplicateRepository", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return s.replicated(t, c, to, r)
		}},
		{"ReplicateRepository of a new one", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return s.replicated(t, c, to, r)
		}},
		{"CreateObjectPool", newPool, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			origin := named(r.GetStorageName(), present)
			_, err := pools(to).CreateObjectPool(c, &gitalypb.CreateObjectPoolRequest{ObjectPool: &gitalypb.ObjectPool{Repository: r}, Origin: origin})
			return err
		}},
		{"DisconnectGitAlternates", present, func(t test, r repo) {
			_, err := pools(s.Conn).LinkRepositoryToObjectPool(s.ctx, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r, ObjectPool: pool(r)})
			if err != nil {
				t.Fatal(err)
			}
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := pools(to).DisconnectGitAlternates(c, &gitalypb.DisconnectGitAlternatesRequest{Repository: r})
			return err
		}},
	}
}

// bundleOf returns a bundle of all references.
func (s *suite) bundleOf(t *testing.T, repo *gitalypb.Repository) []byte {
	t.Helper()
	bundle, err := bytesOf(s.repos.CreateBundle(s.ctx, &gitalypb.CreateBundleRequest{Repository: repo}))
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

// replicated makes a repository a replica of the source on the other storage:
// none is copied within one.
func (s *suite) replicated(t *testing.T, ctx context.Context, to *grpc.ClientConn, repo *gitalypb.Repository) error {
	t.Helper()
	from := named(s.Other, source)
	if repo.GetStorageName() == s.Other {
		from.StorageName = s.Storage
	}
	_, err := gitalypb.NewRepositoryServiceClient(to).ReplicateRepository(
		WithServer(t, ctx, from.GetStorageName(), s.Address, s.Token),
		&gitalypb.ReplicateRepositoryRequest{Repository: repo, Source: from})
	return err
}

// update sends reference, old and new value in a message each.
func update(ctx context.Context, refs gitalypb.RefServiceClient, repo *gitalypb.Repository, updates ...[3]string) error {
	stream, err := refs.UpdateReferences(ctx)
	if err != nil {
		return err
	}
	if len(updates) == 0 {
		err = stream.Send(&gitalypb.UpdateReferencesRequest{Repository: repo})
	}
	for _, u := range updates {
		err := stream.Send(&gitalypb.UpdateReferencesRequest{Repository: repo, Updates: []*gitalypb.UpdateReferencesRequest_Update{
			{Reference: []byte(u[0]), OldObjectId: []byte(u[1]), NewObjectId: []byte(u[2])},
		}})
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		repo = nil // only in the first message
	}
	if err == nil {
		_, err = stream.CloseAndRecv()
	}
	return err
}
