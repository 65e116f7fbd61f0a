package gitalytest

import (
	"context"
	"errors"
	"io"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
)

// call is one method for a repository, with all other fields that it needs to be valid.
type call struct {
	name string
	// missing is the meaning of an absent repository for it.
	missing string
	do      func(ctx context.Context, conn *grpc.ClientConn, repo *gitalypb.Repository) error
}

// The meanings of an absent repository for a call.
const (
	fails   = "NotFound"
	creates = "nothing special"
)

// calls are the methods for a repository that both storages serve.
func calls() []call {
	type (
		ctx  = context.Context
		conn = *grpc.ClientConn
		repo = *gitalypb.Repository
	)
	repos, refs := gitalypb.NewRepositoryServiceClient, gitalypb.NewRefServiceClient
	return []call{
		{"CreateRepository", creates, func(c ctx, to conn, r repo) error {
			_, err := repos(to).CreateRepository(c, &gitalypb.CreateRepositoryRequest{Repository: r})
			return err
		}},
		{"RemoveRepository", fails, func(c ctx, to conn, r repo) error {
			_, err := repos(to).RemoveRepository(c, &gitalypb.RemoveRepositoryRequest{Repository: r})
			return err
		}},
		{"RepositoryExists", creates, func(c ctx, to conn, r repo) error {
			_, err := repos(to).RepositoryExists(c, &gitalypb.RepositoryExistsRequest{Repository: r})
			return err
		}},
		{"RepositorySize", fails, func(c ctx, to conn, r repo) error {
			_, err := repos(to).RepositorySize(c, &gitalypb.RepositorySizeRequest{Repository: r})
			return err
		}},
		{"CalculateChecksum", fails, func(c ctx, to conn, r repo) error {
			_, err := repos(to).CalculateChecksum(c, &gitalypb.CalculateChecksumRequest{Repository: r})
			return err
		}},
		{"ReplicateRepository", creates, func(c ctx, to conn, r repo) error {
			_, err := repos(to).ReplicateRepository(c, &gitalypb.ReplicateRepositoryRequest{
				Repository: r, Source: &gitalypb.Repository{StorageName: "elsewhere", RelativePath: "a.git"},
			})
			return err
		}},
		{"WriteRef", fails, func(c ctx, to conn, r repo) error {
			_, err := repos(to).WriteRef(c, &gitalypb.WriteRefRequest{Repository: r, Ref: []byte("HEAD"), Revision: []byte("refs/heads/main")})
			return err
		}},
		{"RefExists", fails, func(c ctx, to conn, r repo) error {
			_, err := refs(to).RefExists(c, &gitalypb.RefExistsRequest{Repository: r, Ref: []byte("refs/heads/main")})
			return err
		}},
		{"ListRefs", fails, func(c ctx, to conn, r repo) error {
			stream, err := refs(to).ListRefs(c, &gitalypb.ListRefsRequest{Repository: r, Patterns: [][]byte{[]byte("refs/")}})
			return drain(stream, err)
		}},
		{"FindDefaultBranchName", fails, func(c ctx, to conn, r repo) error {
			_, err := refs(to).FindDefaultBranchName(c, &gitalypb.FindDefaultBranchNameRequest{Repository: r})
			return err
		}},
		{"GetBlob", fails, func(c ctx, to conn, r repo) error {
			stream, err := gitalypb.NewBlobServiceClient(to).GetBlob(c, &gitalypb.GetBlobRequest{Repository: r, Oid: "HEAD:a"})
			return drain(stream, err)
		}},
		{"PostReceivePack", fails, func(c ctx, to conn, r repo) error {
			stream, err := gitalypb.NewSmartHTTPServiceClient(to).PostReceivePack(c)
			if err != nil {
				return err
			}
			if err := stream.Send(&gitalypb.PostReceivePackRequest{Repository: r, GlId: "key-1"}); err != nil && !errors.Is(err, io.EOF) {
				return err
			}
			if err := stream.CloseSend(); err != nil {
				return err
			}
			return drain(stream, nil)
		}},
	}
}

// drain receives until the stream ends, and returns how, io.EOF being nil.
func drain[T any](stream interface{ Recv() (T, error) }, err error) error {
	_, err = collect(stream, err)
	return err
}

// collect receives until the stream ends.
func collect[T any](stream interface{ Recv() (T, error) }, err error) ([]T, error) {
	if err != nil {
		return nil, err
	}
	var all []T
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, resp)
	}
}
