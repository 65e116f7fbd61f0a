package gitaly

import (
	"context"
	"errors"
	"io/fs"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// ReplicateRepository makes the repository equal to the source, which it
// reaches as the gitaly-servers header says: all references, the ones that the source
// lacks removed, HEAD and custom hooks. References change in one transaction, so
// that it fails, as Gitaly's does, where the source has a/b in the place of a; a
// repository that is absent (or none) appears when it is complete.
func (h *handlers) ReplicateRepository(ctx context.Context, req *gitalypb.ReplicateRepositoryRequest) (*gitalypb.ReplicateRepositoryResponse, error) {
	target, err := h.locate(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if source := req.GetSource(); source != nil && source.GetStorageName() == req.GetRepository().GetStorageName() {
		return nil, wire.InvalidArgument("repository and source have the same storage")
	}
	source, err := h.openSource(ctx, req.GetSource())
	if err != nil {
		return nil, err
	}
	defer h.closeSource(source)
	missing, err := missingEntry(target.path)
	absent := errors.Is(err, fs.ErrNotExist)
	switch {
	case err != nil && !absent:
		return nil, wire.Fault(err, "check repository")
	case missing != "":
		h.log.Warn("replace invalid repository", "path", target.path, "missing", missing)
		if err := h.discard(vote.Without(ctx), target); err != nil {
			return nil, err
		}
		absent = true
	}
	if absent {
		err = h.create(ctx, target, nil, source.copyTo)
	} else {
		err = source.copyTo(ctx, target)
	}
	if err != nil {
		return nil, wire.Fault(err, "replicating repository")
	}
	return &gitalypb.ReplicateRepositoryResponse{}, nil
}

// source is a repository on another server.
type source struct {
	repo *gitalypb.Repository
	conn *grpc.ClientConn
}

// openSource reaches the source of a request as its gitaly-servers header says
// and checks that it exists; the caller closes it. Its errors are statuses.
func (h *handlers) openSource(ctx context.Context, repo *gitalypb.Repository) (*source, error) {
	if repo == nil {
		return nil, wire.InvalidArgument("source repository cannot be empty")
	}
	if err := wire.CheckFields(repo); err != nil {
		return nil, wire.Fault(err, "source")
	}
	conn, err := wire.DialPeer(ctx, repo.GetStorageName())
	if err != nil {
		return nil, wire.Fault(err, "new client")
	}
	s := &source{repo: repo, conn: conn}
	answer, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(wire.PeerContext(ctx), &gitalypb.RepositoryExistsRequest{Repository: repo})
	switch {
	case err != nil:
		err = wire.Fault(err, "checking for repo existence")
	case !answer.GetExists():
		err = wire.InvalidSource()
	default:
		return s, nil
	}
	h.closeSource(s)
	return nil, err
}

func (h *handlers) closeSource(s *source) {
	if err := s.conn.Close(); err != nil {
		h.log.Warn("close connection to source", "err", err)
	}
}

// copyTo makes target's references and HEAD the same as the source's.
func (s *source) copyTo(ctx context.Context, target *repository) error {
	if err := s.fetch(ctx, target, mirror...); err != nil {
		return wire.Fault(err, "fetch")
	}
	if err := s.copyHead(ctx, target); err != nil {
		return err
	}
	return s.copyCustomHooks(ctx, target)
}

// copyHead makes target's HEAD name the branch that the source's does.
func (s *source) copyHead(ctx context.Context, target *repository) error {
	head, err := gitalypb.NewRefServiceClient(s.conn).FindDefaultBranchName(wire.PeerContext(ctx), &gitalypb.FindDefaultBranchNameRequest{
		Repository: s.repo,
		HeadOnly:   true,
	})
	if err != nil {
		return wire.Fault(err, "getting remote default branch")
	}
	return wire.Fault(target.setHead(ctx, string(head.GetName())), "setting default branch")
}

// copyCustomHooks makes target's hooks the same as the source's.
func (s *source) copyCustomHooks(ctx context.Context, target *repository) error {
	stream, err := gitalypb.NewRepositoryServiceClient(s.conn).GetCustomHooks(wire.PeerContext(ctx), &gitalypb.GetCustomHooksRequest{Repository: s.repo})
	if err != nil {
		return wire.Fault(err, "get custom hooks of source")
	}
	return wire.Fault(target.setCustomHooks(ctx, &receiver{receive: func() ([]byte, error) {
		resp, err := stream.Recv()
		return resp.GetData(), err
	}}), "copy custom hooks")
}
