package gitaly

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/wire"
)

// UserMergeBranch makes a merge commit, tells its id, and sets the branch to
// it once the client says so.
func (h *handlers) UserMergeBranch(stream gitalypb.OperationService_UserMergeBranchServer) error {
	ctx := stream.Context()
	req, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return err
	}
	ref, err := checkMerge(req.GetBranch(), req.GetUser(), req.GetCommitId(), req.GetExpectedOldOid())
	if err != nil {
		return err
	}
	if len(req.GetMessage()) == 0 {
		return wire.InvalidArgument("empty message")
	}
	old, err := repo.branchTip(ctx, ref, req.GetExpectedOldOid())
	if err != nil {
		return err
	}
	merge, err := repo.mergeOf(ctx, old, req)
	if err != nil {
		return err
	}
	if err := stream.Send(&gitalypb.UserMergeBranchResponse{CommitId: merge}); err != nil {
		return wire.Fault(err, "send merge commit")
	}
	second, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive second message")
	}
	if !second.GetApply() {
		return status.Error(codes.FailedPrecondition, "merge aborted by client")
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: old, new: merge}
	err = changed(repo.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook != nil {
			return &gitalypb.UserMergeBranchError{Error: &gitalypb.UserMergeBranchError_CustomHook{CustomHook: why.hook}}
		}
		return &gitalypb.UserMergeBranchError{Error: &gitalypb.UserMergeBranchError_ReferenceUpdate{ReferenceUpdate: why.update}}
	})
	if err != nil {
		return err
	}
	return wire.Fault(stream.Send(&gitalypb.UserMergeBranchResponse{
		BranchUpdate: &gitalypb.OperationBranchUpdate{CommitId: merge},
	}), "send branch update")
}

// UserFFBranch moves a branch to a descendant of its tip.
func (h *handlers) UserFFBranch(ctx context.Context, req *gitalypb.UserFFBranchRequest) (*gitalypb.UserFFBranchResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, err := checkMerge(req.GetBranch(), req.GetUser(), req.GetCommitId(), req.GetExpectedOldOid())
	if err != nil {
		return nil, err
	}
	old, err := repo.branchTip(ctx, ref, req.GetExpectedOldOid())
	if err != nil {
		return nil, err
	}
	ancestor, err := repo.isAncestor(ctx, old, req.GetCommitId())
	if err != nil {
		return nil, wire.Fault(err, "checking for ancestry")
	}
	if !ancestor {
		return nil, status.Error(codes.FailedPrecondition, "not fast forward")
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: old, new: req.GetCommitId()}
	err = repo.change(ctx, change)
	if hook, ok := errors.AsType[*hookRefusal](err); ok {
		return &gitalypb.UserFFBranchResponse{PreReceiveError: hook.Error()}, nil
	}
	if err != nil {
		return nil, changed(err, change, nil)
	}
	return &gitalypb.UserFFBranchResponse{BranchUpdate: &gitalypb.OperationBranchUpdate{CommitId: req.GetCommitId()}}, nil
}

func checkMerge(branch []byte, user *gitalypb.User, commit, expected string) (ref string, err error) {
	ref, err = branchUser(branch, user)
	switch {
	case err != nil:
		return "", err
	case commit == "":
		return "", wire.InvalidArgument("empty commit ID")
	}
	for _, revision := range []string{commit, expected} {
		if revision == "" {
			continue
		}
		if err := wire.CheckRevision(revision); err != nil {
			return "", err
		}
	}
	return ref, nil
}

// branchTip returns the tip of an existing branch; if another one is expected, that,
// for git to refuse. Its errors are statuses.
func (r *repository) branchTip(ctx context.Context, ref, expected string) (string, error) {
	tip, err := r.value(ctx, ref)
	switch {
	case err != nil:
		return "", wire.Fault(err, "look up branch")
	case tip == zeroOID:
		return "", status.Errorf(codes.NotFound, "reference not found: %s", ref)
	case expected != "":
		return expected, nil
	}
	return tip, nil
}

// mergeOf writes the commit that merges the request's into ours. Its errors are
// statuses.
func (r *repository) mergeOf(ctx context.Context, ours string, req *gitalypb.UserMergeBranchRequest) (string, error) {
	env, err := identity(req.GetUser(), req.GetTimestamp(), nil, nil)
	if err != nil {
		return "", err
	}
	merge, err := r.merge(ctx, ours, req.GetCommitId(), req.GetMessage(), env)
	if unfit, ok := errors.AsType[*conflict](err); ok {
		return "", withDetails(status.New(codes.FailedPrecondition, "merging commits: merge: there are conflicting files"), &gitalypb.UserMergeBranchError{
			Error: &gitalypb.UserMergeBranchError_MergeConflict{MergeConflict: unfit.details()},
		})
	}
	return merge, wire.Fault(err, "merging commits")
}

// isAncestor reports whether one commit is reachable from the other.
func (r *repository) isAncestor(ctx context.Context, ancestor, child string) (bool, error) {
	_, err := r.output(ctx, "merge-base", "--is-ancestor", ancestor, child)
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code == 1 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare commits: %w", err)
	}
	return true, nil
}
