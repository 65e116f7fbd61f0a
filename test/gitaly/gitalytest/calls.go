package gitalytest

import (
	"context"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// Short names for the tables of calls.
type (
	test = *testing.T
	ctx  = context.Context
	conn = *grpc.ClientConn
	repo = *gitalypb.Repository
)

// call is one method for a repository, with all other fields that it needs to be valid.
type call struct {
	name string
	// missing is the meaning of an absent repository for it.
	missing string
	do      func(c ctx, to conn, r repo) error
}

// The meanings of an absent repository for a call.
const (
	fails   = "NotFound"
	creates = "nothing special"
)

// calls are the methods for a repository that both storages serve.
func calls() []call {
	repos, refs := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient
	return []call{
		{"CreateRepository", creates, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).CreateRepository(c, &gitalypb.CreateRepositoryRequest{Repository: r}))
		}},
		{"RemoveRepository", fails, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).RemoveRepository(c, &gitalypb.RemoveRepositoryRequest{Repository: r}))
		}},
		{"RepositoryExists", creates, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).RepositoryExists(c, &gitalypb.RepositoryExistsRequest{Repository: r}))
		}},
		{"RepositorySize", fails, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).RepositorySize(c, &gitalypb.RepositorySizeRequest{Repository: r}))
		}},
		{"CalculateChecksum", fails, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).CalculateChecksum(c, &gitalypb.CalculateChecksumRequest{Repository: r}))
		}},
		{"ReplicateRepository", creates, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).ReplicateRepository(c, &gitalypb.ReplicateRepositoryRequest{
				Repository: r, Source: &gitalypb.Repository{StorageName: "elsewhere", RelativePath: "a.git"},
			}))
		}},
		{"WriteRef", fails, func(c ctx, to conn, r repo) error {
			return errorOf(repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("HEAD"), Revision: []byte("refs/heads/main")}))
		}},
		{"RefExists", fails, func(c ctx, to conn, r repo) error {
			return errorOf(refs(to).RefExists(c, &gitalypb.RefExistsRequest{Repository: r, Ref: []byte("refs/heads/main")}))
		}},
		{"ListRefs", fails, func(c ctx, to conn, r repo) error {
			return drain(refs(to).ListRefs(c, &gitalypb.ListRefsRequest{Repository: r, Patterns: [][]byte{[]byte("refs/")}}))
		}},
		{"FindDefaultBranchName", fails, func(c ctx, to conn, r repo) error {
			return errorOf(refs(to).FindDefaultBranchName(c, &gitalypb.FindDefaultBranchNameRequest{Repository: r}))
		}},
		{"GetBlob", fails, func(c ctx, to conn, r repo) error {
			return drain(gitalypb.NewBlobServiceClient(to).GetBlob(c, &gitalypb.GetBlobRequest{Repository: r, Oid: "HEAD:a"}))
		}},
		{"PostReceivePack", fails, func(c ctx, to conn, r repo) error {
			return exchange(c, gitalypb.NewSmartHTTPServiceClient(to).PostReceivePack, &gitalypb.PostReceivePackRequest{Repository: r, GlId: "key-1"})
		}},
	}
}
