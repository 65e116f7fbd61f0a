package gitalytest

import (
	"context"
	"errors"
	"io"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// mutator is a write that votes, on a repository as the suite prepares it: with
// branches main, topic and gone, and without the one named absent.
type mutator struct {
	name string
	// place is the path of the repository that it writes to.
	place string
	do    func(t *testing.T, ctx context.Context, on *grpc.ClientConn, repo *gitalypb.Repository, o Objects) error
}

const (
	present = "present.git"
	absent  = "absent.git"
)

// mutators are the writes that both storages serve.
func (s *suite) mutators() []mutator {
	repos := gitalypb.NewRepositoryServiceClient
	type (
		test = *testing.T
		ctx  = context.Context
		conn = *grpc.ClientConn
		repo = *gitalypb.Repository
	)
	return []mutator{
		{"WriteRef", present, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("refs/heads/main"), Revision: []byte(o.Commits[2])})
			return err
		}},
		{"WriteRef of HEAD", present, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("HEAD"), Revision: []byte("refs/heads/topic")})
			return err
		}},
		{"CreateRepository", absent, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).CreateRepository(c, &gitalypb.CreateRepositoryRequest{Repository: r})
			return err
		}},
		{"CreateRepositoryFromBundle", absent, func(t test, c ctx, to conn, r repo, _ Objects) error {
			bundle, err := bytesOf(s.repos.CreateBundle(s.ctx, &gitalypb.CreateBundleRequest{Repository: s.repository(present)}))
			if err != nil {
				t.Fatal(err)
			}
			stream, err := repos(to).CreateRepositoryFromBundle(c)
			if err != nil {
				return err
			}
			if err := stream.Send(&gitalypb.CreateRepositoryFromBundleRequest{Repository: r, Data: bundle}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			_, err = stream.CloseAndRecv()
			return err
		}},
		{"RemoveRepository", present, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).RemoveRepository(c, &gitalypb.RemoveRepositoryRequest{Repository: r})
			return err
		}},
		{"PostReceivePack", present, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return push(c, to, r, deletion("refs/heads/gone", o.Commits[0]))
		}},
	}
}

// gitMutators are those that only real git serves.
func (s *suite) gitMutators() []mutator {
	repos, refs, edits := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient, gitalypb.NewOperationServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	type (
		test = *testing.T
		ctx  = context.Context
		conn = *grpc.ClientConn
		repo = *gitalypb.Repository
	)
	pool := func(r repo) *gitalypb.ObjectPool {
		return &gitalypb.ObjectPool{Repository: &gitalypb.Repository{StorageName: r.GetStorageName(), RelativePath: poolPath}}
	}
	return []mutator{
		{"UserCommitFiles", present, func(t test, c ctx, to conn, r repo, _ Objects) error {
			elsewhere := *s
			elsewhere.ctx, elsewhere.edits = c, edits(to)
			_, err := elsewhere.tryCommit(t, r, "main", "", "new", "new")
			return err
		}},
		{"UserCreateBranch", present, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserCreateBranch(c, &gitalypb.UserCreateBranchRequest{
				Repository: r, BranchName: []byte("absent"), StartPoint: []byte(o.Commits[1]), User: user(),
			})
			return err
		}},
		{"UserDeleteBranch", present, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := edits(to).UserDeleteBranch(c, &gitalypb.UserDeleteBranchRequest{Repository: r, BranchName: []byte("gone"), User: user()})
			return err
		}},
		{"UserCreateTag", present, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserCreateTag(c, &gitalypb.UserCreateTagRequest{
				Repository: r, TagName: []byte("v1"), User: user(), TargetRevision: []byte(o.Commits[0]), Message: []byte("v1"), Timestamp: at(),
			})
			return err
		}},
		{"UserFFBranch", present, func(_ test, c ctx, to conn, r repo, o Objects) error {
			_, err := edits(to).UserFFBranch(c, &gitalypb.UserFFBranchRequest{Repository: r, User: user(), Branch: []byte("gone"), CommitId: o.Commits[2]})
			return err
		}},
		{"DeleteRefs", present, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := refs(to).DeleteRefs(c, &gitalypb.DeleteRefsRequest{Repository: r, Refs: patterns("refs/heads/gone", "refs/heads/topic")})
			return err
		}},
		{"CreateFork", absent, func(t test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).CreateFork(WithServer(t, c, s.Storage, s.Address, s.Token), &gitalypb.CreateForkRequest{
				Repository: r, SourceRepository: s.repository(source),
			})
			return err
		}},
		{"FetchSourceBranch", present, func(t test, c ctx, to conn, r repo, _ Objects) error {
			_, err := repos(to).FetchSourceBranch(WithServer(t, c, s.Storage, s.Address, s.Token), &gitalypb.FetchSourceBranchRequest{
				Repository: r, SourceRepository: s.repository(source), SourceBranch: []byte("main"), TargetRef: []byte("refs/merge/1"),
			})
			return err
		}},
		{"SetCustomHooks", present, func(t test, c ctx, to conn, r repo, _ Objects) error {
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
		{"LinkRepositoryToObjectPool", present, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			_, err := pools(to).LinkRepositoryToObjectPool(c, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r, ObjectPool: pool(r)})
			return err
		}},
		{"FetchIntoObjectPool", poolPath, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			origin := &gitalypb.Repository{StorageName: r.GetStorageName(), RelativePath: present}
			_, err := pools(to).FetchIntoObjectPool(c, &gitalypb.FetchIntoObjectPoolRequest{ObjectPool: pool(r), Origin: origin})
			return err
		}},
	}
}
