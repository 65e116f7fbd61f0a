package transaction

import (
	"context"
	"errors"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/transaction/quorum"
)

// errTwice is the error for a storage that votes while its vote is under way.
var errTwice = errors.New("the storage has cast its vote already, or has none")

// Service takes the votes that come over one connection to one storage.
type Service struct {
	gitalypb.UnimplementedRefTransactionServer
	manager *Manager
	storage string
	conn    any
}

// Service makes the service for the votes of a storage over one connection, which
// conn identifies as Voter.Conn does.
func (m *Manager) Service(storage string, conn any) *Service {
	return &Service{manager: m, storage: storage, conn: conn}
}

// VoteTransaction casts a vote, and answers it when it is decided.
func (s *Service) VoteTransaction(ctx context.Context, r *gitalypb.VoteTransactionRequest) (*gitalypb.VoteTransactionResponse, error) {
	t, err := s.find(r.GetTransactionId(), r.GetNode())
	if err != nil {
		return nil, err
	}
	vote := quorum.Vote{Phase: int32(r.GetPhase())}
	if n := copy(vote.Hash[:], r.GetReferenceUpdatesHash()); n != len(vote.Hash) || n != len(r.GetReferenceUpdatesHash()) {
		return nil, status.Errorf(codes.InvalidArgument, "invalid reference update hash: %d bytes, want %d", len(r.GetReferenceUpdatesHash()), len(vote.Hash))
	}
	began := time.Now()
	answer, err := t.cast(ctx, s.storage, vote)
	s.manager.metrics.delay.Observe(time.Since(began).Seconds())
	switch {
	case errors.Is(err, errTwice):
		return nil, status.Errorf(codes.Internal, "storage %q, transaction %d: %v", s.storage, t.id, err)
	case err != nil:
		return nil, status.FromContextError(err).Err()
	}
	return &gitalypb.VoteTransactionResponse{State: states[answer]}, nil
}

var states = map[quorum.Answer]gitalypb.VoteTransactionResponse_TransactionState{
	quorum.Commit: gitalypb.VoteTransactionResponse_COMMIT,
	quorum.Abort:  gitalypb.VoteTransactionResponse_ABORT,
	quorum.Stop:   gitalypb.VoteTransactionResponse_STOP,
}

// StopTransaction ends a transaction by which nothing is to be changed after all.
func (s *Service) StopTransaction(_ context.Context, r *gitalypb.StopTransactionRequest) (*gitalypb.StopTransactionResponse, error) {
	t, err := s.find(r.GetTransactionId(), s.storage)
	if err != nil {
		return nil, err
	}
	t.halt(s.storage)
	return &gitalypb.StopTransactionResponse{}, nil
}

// find returns the transaction in which this storage has a vote over this
// connection.
func (s *Service) find(id uint64, node string) (*Transaction, error) {
	t := s.manager.find(id)
	if t == nil {
		s.manager.metrics.invalid.Inc()
		return nil, status.Errorf(codes.NotFound, "transaction not found: %d", id)
	}
	if node != s.storage {
		s.manager.metrics.invalid.Inc()
		return nil, status.Errorf(codes.PermissionDenied, "storage %q votes in the name of %q", s.storage, node)
	}
	for _, v := range t.cfg.Voters {
		// ▲ driver-votes-other-connection: A vote over another connection is of another call, or of
		// none.
		if v.Storage == s.storage && v.Conn == s.conn {
			return t, nil
		}
	}
	s.manager.metrics.invalid.Inc()
	return nil, status.Errorf(codes.PermissionDenied, "storage %q has no vote in transaction %d over this connection", s.storage, id)
}
