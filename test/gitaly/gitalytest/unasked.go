package gitalytest

import (
	"context"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
)

// unasked: a deletion that does not name the deleted value happens without a vote,
// in a transaction too.
func (s *suite) unasked(t *testing.T) {
	s.deletesUnasked(t, func(ctx context.Context, on *grpc.ClientConn, repo *gitalypb.Repository, ref string) error {
		return errorOf(gitalypb.NewRepositoryServiceClient(on).WriteRef(ctx, &gitalypb.WriteRefRequest{Repository: repo, Ref: []byte(ref), Revision: []byte(zero)}))
	})
}

// unaskedOfGits: likewise.
func (s *suite) unaskedOfGits(t *testing.T) {
	s.deletesUnasked(t, func(ctx context.Context, on *grpc.ClientConn, repo *gitalypb.Repository, ref string) error {
		return update(ctx, gitalypb.NewRefServiceClient(on), repo, [3]string{ref, "", zero})
	})
}

func (s *suite) deletesUnasked(t *testing.T, del func(ctx context.Context, on *grpc.ClientConn, repo *gitalypb.Repository, ref string) error) {
	t.Helper()
	const ref = "refs/heads/gone"
	repo := s.repository(present)
	s.seeded(t, repo, map[string]int{ref: 0, "refs/heads/main": 1})
	coordinator := &Coordinator{}
	conn := DialVoting(t, s.Address, s.Token, coordinator)
	wantCode(t, "delete", del(InTransaction(t, s.ctx, transactionID, s.Storage, true), conn, repo, ref), codes.OK)
	if votes := coordinator.Votes(transactionID, s.Storage); len(votes) > 0 {
		t.Errorf("got votes %v, want none", votes)
	}
	s.want(t, "delete", repo, ref, "")
}
