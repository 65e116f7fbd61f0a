package gitaly

import (
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// CalculateChecksum returns the checksum of the references of the usual kinds.
func (h *handlers) CalculateChecksum(ctx context.Context, req *gitalypb.CalculateChecksumRequest) (*gitalypb.CalculateChecksumResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	var sum wire.Checksum
	lines := &lineWriter{each: func(line []byte) error {
		if wire.Counts(line) {
			sum.Add(line)
		}
		return nil
	}}
	err = repo.run(ctx, command{args: []string{"show-ref", "--head"}, stdout: lines})
	if failed, ok := errors.AsType[*gitError](err); ok {
		if failed.code == 1 && failed.stderr == "" { // no references
			return &gitalypb.CalculateChecksumResponse{Checksum: sum.String()}, nil
		}
		return nil, status.Errorf(codes.DataLoss, "list references: %v", failed)
	}
	if err != nil {
		return nil, wire.Fault(err, "list references")
	}
	return &gitalypb.CalculateChecksumResponse{Checksum: sum.String()}, nil
}
