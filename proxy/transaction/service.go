package transaction

import (
	"context"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/proxy/transaction/quorum"
)

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

// Vote is a vote of a storage in a transaction.
type Vote struct {
	service *Service
	of      *Transaction
	vote    quorum.Vote
}

// Vote checks a vote. The error is the status that answers it.
func (s *Service) Vote(r *gitalypb.VoteTransactionRequest) (Vote, error) {
	t, err := s.find(r.GetTransactionId(), r.GetNode())
	if err != nil {
		return Vote{}, err
	}
	v := Vote{service: s, of: t, vote: quorum.Vote{Phase: int32(r.GetPhase())}}
	if n := copy(v.vote.Hash[:], r.GetReferenceUpdatesHash()); n != len(v.vote.Hash) || n != len(r.GetReferenceUpdatesHash()) {
		return Vote{}, status.Errorf(codes.InvalidArgument, "invalid reference update hash: %d bytes, want %d", len(r.GetReferenceUpdatesHash()), len(v.vote.Hash))
	}
	return v, nil
}

// Answer is the answer to a vote. If err is not nil it is a status.
type Answer struct {
	State gitalypb.VoteTransactionResponse_TransactionState
	Err   error
}

// Cast casts the vote. answered is called once, before Cast returns or later, by any goroutine. It
// must not block.
func (v Vote) Cast(answered func(Answer)) {
	s, began := v.service, time.Now()
	accepted := v.of.cast(s.storage, v.vote, func(a quorum.Answer) {
		s.manager.metrics.delay.Observe(time.Since(began).Seconds())
		answered(Answer{State: states[a]})
	})
	if !accepted {
		s.manager.metrics.delay.Observe(time.Since(began).Seconds())
		answered(Answer{Err: status.Errorf(codes.Internal, "storage %q, transaction %d: the storage has cast its vote already, or has none", s.storage, v.of.id)})
	}
}

// Withdraw says that the storage does not wait for the answer any more: it has given up, or its
// connection is gone. So it follows no answer.
func (v Vote) Withdraw() { v.of.Leave(v.service.storage) }

// VoteTransaction casts a vote, and answers it when it is decided.
func (s *Service) VoteTransaction(ctx context.Context, r *gitalypb.VoteTransactionRequest) (*gitalypb.VoteTransactionResponse, error) {
	v, err := s.Vote(r)
	if err != nil {
		return nil, err
	}
	answer := make(chan Answer, 1)
	v.Cast(func(a Answer) { answer <- a })
	select {
	case a := <-answer:
		if a.Err != nil {
			return nil, a.Err
		}
		return &gitalypb.VoteTransactionResponse{State: a.State}, nil
	case <-ctx.Done():
		v.Withdraw()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
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
