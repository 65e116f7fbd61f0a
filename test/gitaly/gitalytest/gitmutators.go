package gitalytest

import (
	"bytes"
	"context"
	"os/exec"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/must"
)

// gitMutators are the methods that only real git serves.
func (s *suite) gitMutators() []mutator {
	repos, refs, edits := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient, gitalypb.NewOperationServiceClient
	pools := gitalypb.NewObjectPoolServiceClient
	return []mutator{
		{"UserCommitFiles", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			elsewhere := *s
			elsewhere.ctx, elsewhere.edits = c, edits(to)
			return errorOf(elsewhere.tryCommit(r, "main", "", "new", "new"))
		}},
		{"DeleteRefs", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(refs(to).DeleteRefs(c, &gitalypb.DeleteRefsRequest{Repository: r, Refs: patterns("refs/heads/gone", "refs/heads/topic")}))
		}},
		{"CreateRepositoryFromBundle", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			data := s.bundleOf(t, s.repository(present))
			return errorOf(upload(c, repos(to).CreateRepositoryFromBundle, &gitalypb.CreateRepositoryFromBundleRequest{Repository: r, Data: data}))
		}},
		{"CreateFork", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(repos(to).CreateFork(s.sources(t, c), &gitalypb.CreateForkRequest{
				Repository: r, SourceRepository: s.repository(source),
			}))
		}},
		{"SetCustomHooks", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			data := archived(t, map[string]string{"custom_hooks/update": "#!/bin/sh\n"})
			return errorOf(upload(c, repos(to).SetCustomHooks, &gitalypb.SetCustomHooksRequest{Repository: r, Data: data}))
		}},
		{"LinkRepositoryToObjectPool", present, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(pools(to).LinkRepositoryToObjectPool(c, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r, ObjectPool: pool(r.GetStorageName())}))
		}},
		{"UpdateReferences", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return update(c, refs(to), r, [3]string{"refs/heads/main", "", o.Commits[0]}, [3]string{"refs/heads/gone", "", zero})
		}},
		{"WriteRef that deletes", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return errorOf(repos(to).WriteRef(c, &gitalypb.WriteRefRequest{
				Repository: r, Ref: []byte("refs/heads/gone"), Revision: []byte(zero), OldRevision: []byte(o.Commits[0]),
			}))
		}},
		{"SSHReceivePack", present, nil, func(_ test, c ctx, to conn, r repo, o Objects) error {
			return exchange(c, gitalypb.NewSSHServiceClient(to).SSHReceivePack,
				&gitalypb.SSHReceivePackRequest{Repository: r, GlId: "key-1"},
				&gitalypb.SSHReceivePackRequest{Stdin: deletion("refs/heads/gone", o.Commits[0])})
		}},
		{"ReplicateRepository", present, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return s.replicated(t, c, to, r)
		}},
		{"ReplicateRepository of a new one", absent, nil, func(t test, c ctx, to conn, r repo, _ Objects) error {
			return s.replicated(t, c, to, r)
		}},
		{"CreateObjectPool", newPool, nil, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			origin := named(r.GetStorageName(), present)
			return errorOf(pools(to).CreateObjectPool(c, &gitalypb.CreateObjectPoolRequest{ObjectPool: &gitalypb.ObjectPool{Repository: r}, Origin: origin}))
		}},
		{"DisconnectGitAlternates", present, func(t test, r repo) {
			_, err := pools(s.Conn).LinkRepositoryToObjectPool(s.ctx, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: r, ObjectPool: pool(r.GetStorageName())})
			must.Succeed(t, err)
		}, func(_ test, c ctx, to conn, r repo, _ Objects) error {
			return errorOf(pools(to).DisconnectGitAlternates(c, &gitalypb.DisconnectGitAlternatesRequest{Repository: r}))
		}},
	}
}

// sources lets a storage reach the first one, which others are copied from.
func (s *suite) sources(t *testing.T, ctx context.Context) context.Context {
	return WithServer(t, ctx, s.Storage, s.Address, s.Token)
}

// pool is the object pool of a storage.
func pool(storage string) *gitalypb.ObjectPool {
	return &gitalypb.ObjectPool{Repository: named(storage, poolPath)}
}

// bundleOf returns a bundle of all references.
func (s *suite) bundleOf(t *testing.T, repo *gitalypb.Repository) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(s.ctx, "git", "-C", s.Path(repo), "bundle", "create", "--quiet", "-", "--all")
	cmd.Env, cmd.Stderr = GitEnv(), &stderr
	bundle, err := cmd.Output()
	if err != nil {
		t.Fatalf("make a bundle: %v: %s", err, &stderr)
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
	return errorOf(gitalypb.NewRepositoryServiceClient(to).ReplicateRepository(
		WithServer(t, ctx, from.GetStorageName(), s.Address, s.Token),
		&gitalypb.ReplicateRepositoryRequest{Repository: repo, Source: from}))
}

// update sends reference, old and new value in a message each.
func update(ctx context.Context, refs gitalypb.RefServiceClient, repo *gitalypb.Repository, updates ...[3]string) error {
	var requests []*gitalypb.UpdateReferencesRequest
	for _, u := range updates {
		requests = append(requests, &gitalypb.UpdateReferencesRequest{Updates: []*gitalypb.UpdateReferencesRequest_Update{
			{Reference: []byte(u[0]), OldObjectId: []byte(u[1]), NewObjectId: []byte(u[2])},
		}})
	}
	if len(updates) == 0 {
		requests = append(requests, &gitalypb.UpdateReferencesRequest{})
	}
	requests[0].Repository = repo
	return errorOf(upload(ctx, refs.UpdateReferences, requests...))
}
