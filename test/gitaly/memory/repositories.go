package memory

import (
	"context"
	"errors"
	"io"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// CreateRepository makes a repository without references.
func (h *handlers) CreateRepository(ctx context.Context, req *gitalypb.CreateRepositoryRequest) (*gitalypb.CreateRepositoryResponse, error) {
	err := h.hooked(ctx, req.GetRepository(), func() error {
		head := mainBranch
		if branch := req.GetDefaultBranch(); len(branch) > 0 {
			head = "refs/heads/" + string(branch)
		}
		return h.agreeToCreate(ctx, req.GetRepository(), newRepository(head))
	})
	return wire.Answer(&gitalypb.CreateRepositoryResponse{}, err)
}

// RemoveRepository removes a repository.
func (h *handlers) RemoveRepository(ctx context.Context, req *gitalypb.RemoveRepositoryRequest) (*gitalypb.RemoveRepositoryResponse, error) {
	err := h.hooked(ctx, req.GetRepository(), func() error {
		return h.agree(ctx, change{
			repo:  req.GetRepository(),
			check: func() error { return h.remove(req.GetRepository(), false) },
			sum:   func() vote.Hash { return vote.Of([]byte("remove " + req.GetRepository().GetRelativePath())) },
			apply: func() error { return h.remove(req.GetRepository(), true) },
		})
	})
	return wire.Answer(&gitalypb.RemoveRepositoryResponse{}, err)
}

// remove removes a repository, or only tells whether it could.
func (h *handlers) remove(named *gitalypb.Repository, really bool) error {
	h.server.mu.Lock()
	defer h.server.mu.Unlock()
	disk, path, err := h.locate(named)
	if err != nil {
		return err
	}
	if _, exists := disk.repos[path]; !exists {
		return wire.NothingToRemove()
	}
	if really {
		delete(disk.repos, path)
	}
	return nil
}

// RepositoryExists reports whether there is a repository.
func (h *handlers) RepositoryExists(ctx context.Context, req *gitalypb.RepositoryExistsRequest) (*gitalypb.RepositoryExistsResponse, error) {
	resp := &gitalypb.RepositoryExistsResponse{}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		h.server.mu.RLock()
		defer h.server.mu.RUnlock()
		disk, path, err := h.locate(req.GetRepository())
		if err != nil {
			return err
		}
		_, resp.Exists = disk.repos[path]
		return nil
	})
	return wire.Answer(resp, err)
}

// RepositorySize returns as many KiB as there are references.
func (h *handlers) RepositorySize(ctx context.Context, req *gitalypb.RepositorySizeRequest) (*gitalypb.RepositorySizeResponse, error) {
	resp := &gitalypb.RepositorySizeResponse{}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		return h.read(req.GetRepository(), func(r *repository) error {
			resp.Size = int64(len(r.refs))
			return nil
		})
	})
	return wire.Answer(resp, err)
}

// CalculateChecksum returns the checksum of the references of the usual kinds.
func (h *handlers) CalculateChecksum(ctx context.Context, req *gitalypb.CalculateChecksumRequest) (*gitalypb.CalculateChecksumResponse, error) {
	resp := &gitalypb.CalculateChecksumResponse{}
	err := h.hooked(ctx, req.GetRepository(), func() error {
		return h.read(req.GetRepository(), func(r *repository) error {
			resp.Checksum = r.checksum(wire.Counts)
			return nil
		})
	})
	return wire.Answer(resp, err)
}

// ReplicateRepository makes the repository's references equal to the source's.
func (h *handlers) ReplicateRepository(ctx context.Context, req *gitalypb.ReplicateRepositoryRequest) (*gitalypb.ReplicateRepositoryResponse, error) {
	err := h.hooked(ctx, req.GetRepository(), func() error {
		h.server.mu.RLock()
		_, _, err := h.locate(req.GetRepository())
		h.server.mu.RUnlock()
		if err != nil {
			return err
		}
		copied, err := h.copySource(ctx, req)
		if err != nil {
			return err
		}
		return h.agree(ctx, change{
			repo:  req.GetRepository(),
			check: func() error { return h.fits(req.GetRepository(), copied) },
			sum:   func() vote.Hash { return vote.Of([]byte("replicate " + copied.head + " " + copied.checksum(all))) },
			apply: func() error {
				h.server.mu.Lock()
				defer h.server.mu.Unlock()
				disk, path, err := h.locate(req.GetRepository())
				if err == nil {
					err = fits(disk.repos[path], copied)
				}
				if err == nil {
					disk.repos[path] = copied
				}
				return err
			},
		})
	})
	return wire.Answer(&gitalypb.ReplicateRepositoryResponse{}, err)
}

// fits tells whether git could make the present references equal to a copy in one
// transaction: it cannot replace the reference a by a/b.
func (h *handlers) fits(named *gitalypb.Repository, copied *repository) error {
	h.server.mu.RLock()
	defer h.server.mu.RUnlock()
	disk, path, err := h.locate(named)
	if err != nil {
		return err
	}
	return fits(disk.repos[path], copied)
}

func fits(present, copied *repository) error {
	if present == nil {
		return nil
	}
	for _, name := range present.names() {
		for _, other := range copied.names() {
			if strings.HasPrefix(name, other+"/") || strings.HasPrefix(other, name+"/") {
				return status.Errorf(codes.Internal, "replicating repository: cannot lock ref %q: %q exists", other, name)
			}
		}
	}
	return nil
}

// copySource reads the source of a replication from its server.
func (h *handlers) copySource(ctx context.Context, req *gitalypb.ReplicateRepositoryRequest) (*repository, error) {
	source := req.GetSource()
	if source == nil {
		return nil, wire.InvalidArgument("source repository cannot be empty")
	}
	if err := wire.CheckFields(source); err != nil {
		return nil, wire.Fault(err, "source")
	}
	if source.GetStorageName() == req.GetRepository().GetStorageName() {
		return nil, wire.InvalidArgument("repository and source have the same storage")
	}
	conn, err := wire.DialPeer(ctx, source.GetStorageName())
	if err != nil {
		return nil, wire.Fault(err, "new client")
	}
	copied, err := readRepository(wire.PeerContext(ctx), conn, source)
	if closeErr := conn.Close(); err == nil && closeErr != nil {
		return nil, wire.Fault(closeErr, "close connection to source")
	}
	return copied, err
}

func readRepository(ctx context.Context, conn *grpc.ClientConn, source *gitalypb.Repository) (*repository, error) {
	exists, err := gitalypb.NewRepositoryServiceClient(conn).RepositoryExists(ctx, &gitalypb.RepositoryExistsRequest{Repository: source})
	if err != nil {
		return nil, wire.Fault(err, "checking for repo existence")
	}
	if !exists.GetExists() {
		return nil, wire.InvalidSource()
	}
	refs := gitalypb.NewRefServiceClient(conn)
	head, err := refs.FindDefaultBranchName(ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: source, HeadOnly: true})
	if err != nil {
		return nil, wire.Fault(err, "getting remote default branch")
	}
	stream, err := refs.ListRefs(ctx, &gitalypb.ListRefsRequest{Repository: source, Patterns: [][]byte{[]byte("refs/")}})
	if err != nil {
		return nil, wire.Fault(err, "list references of source")
	}
	copied := newRepository(string(head.GetName()))
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return copied, nil
		}
		if err != nil {
			return nil, wire.Fault(err, "list references of source")
		}
		for _, ref := range resp.GetReferences() {
			copied.refs[string(ref.GetName())] = ref.GetTarget()
		}
	}
}
