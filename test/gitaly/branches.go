package gitaly

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// commitsPerMessage keeps a message with commits, whose messages may be long, below the size limit.
const commitsPerMessage = 20

// CommitIsAncestor reports whether one commit is reachable from the other.
func (h *handlers) CommitIsAncestor(ctx context.Context, req *gitalypb.CommitIsAncestorRequest) (*gitalypb.CommitIsAncestorResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	for _, revision := range []string{req.GetAncestorId(), req.GetChildId()} {
		if err := wire.CheckRevision(revision); err != nil {
			return nil, wire.Fault(err, "bad request (empty or malformed commit)")
		}
	}
	_, err = repo.output(ctx, "merge-base", "--is-ancestor", req.GetAncestorId(), req.GetChildId())
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code == 1 {
		return &gitalypb.CommitIsAncestorResponse{}, nil
	}
	if err != nil {
		return nil, wire.Fault(err, "check ancestry")
	}
	return &gitalypb.CommitIsAncestorResponse{Value: true}, nil
}

// ListCommits sends the commits that are reachable from the revisions, and
// from none that has a ^ before it, or comes after --not; --all stands for every
// reference. Of the ways to choose among them it serves
// order and number.
func (h *handlers) ListCommits(req *gitalypb.ListCommitsRequest, stream gitalypb.CommitService_ListCommitsServer) error {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	args, err := listCommitsArgs(req)
	if err != nil {
		return err
	}
	oids, err := repo.output(stream.Context(), args...)
	if err != nil {
		return wire.Fault(err, "list commits")
	}
	batch := &gitalypb.ListCommitsResponse{}
	flush := func() error {
		full := batch
		batch = &gitalypb.ListCommitsResponse{}
		return stream.Send(full)
	}
	err = repo.eachCommit(stream.Context(), strings.NewReader(string(oids)), func(commit *gitalypb.GitCommit) error {
		batch.Commits = append(batch.Commits, commit)
		if len(batch.Commits) < commitsPerMessage {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch.Commits) > 0 {
		err = flush()
	}
	return wire.Fault(err, "send commits")
}

func listCommitsArgs(req *gitalypb.ListCommitsRequest) ([]string, error) {
	if len(req.GetRevisions()) == 0 {
		return nil, wire.InvalidArgument("missing revisions")
	}
	if req.GetPaginationParams().GetPageToken() != "" || req.GetAfter() != nil || req.GetBefore() != nil ||
		len(req.GetAuthor()) > 0 || len(req.GetCommitMessagePatterns()) > 0 {
		return nil, status.Error(codes.Unimplemented, "choosing commits by page, time, author or message is not served")
	}
	args := []string{"rev-list"}
	for option, wanted := range map[string]bool{
		"--topo-order":   req.GetOrder() == gitalypb.ListCommitsRequest_TOPO,
		"--date-order":   req.GetOrder() == gitalypb.ListCommitsRequest_DATE,
		"--reverse":      req.GetReverse(),
		"--no-walk":      req.GetDisableWalk(),
		"--first-parent": req.GetFirstParent(),
	} {
		if wanted {
			args = append(args, option)
		}
	}
	if limit := req.GetPaginationParams().GetLimit(); limit > 0 {
		args = append(args, fmt.Sprintf("--max-count=%d", limit))
	}
	if parents := req.GetMaxParents(); parents > 0 {
		args = append(args, fmt.Sprintf("--max-parents=%d", parents))
	}
	for _, revision := range req.GetRevisions() {
		if revision == "--not" || revision == "--all" { // which stand for revisions
			args = append(args, revision)
			continue
		}
		if err := wire.CheckRevision(revision); err != nil {
			return nil, wire.Fault(err, "invalid revision")
		}
		args = append(args, revision)
	}
	return append(args, "--"), nil
}
