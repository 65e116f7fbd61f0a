package gitaly

import (
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/wire"
)

// withDetails returns a status with details as its error.
func withDetails(fault *status.Status, details protoadapt.MessageV1) error {
	detailed, err := fault.WithDetails(details)
	if err != nil {
		return wire.Fault(err, fault.Message())
	}
	return detailed.Err()
}

// checkUser refuses a user whose name cannot stand in a commit.
func checkUser(user *gitalypb.User) error {
	switch {
	case user == nil:
		return wire.InvalidArgument("empty user")
	case len(user.GetName()) == 0:
		return wire.InvalidArgument("empty user name")
	case len(user.GetEmail()) == 0:
		return wire.InvalidArgument("empty user email")
	}
	return nil
}

// branchUser checks the parts that all changes of a branch have in common, and returns
// the branch's full name.
func branchUser(branch []byte, user *gitalypb.User) (string, error) {
	if len(branch) == 0 {
		return "", wire.InvalidArgument("empty branch name")
	}
	if err := wire.CheckRevision(string(branch)); err != nil {
		return "", err
	}
	return "refs/heads/" + string(branch), checkUser(user)
}

// value returns the value of a reference, zero if it is absent.
func (r *repository) value(ctx context.Context, ref string) (string, error) {
	oid, err := r.resolve(ctx, ref)
	if err == nil && oid == "" {
		return zeroOID, nil
	}
	return oid, err
}

// UserCreateBranch makes a branch that is absent.
func (h *handlers) UserCreateBranch(ctx context.Context, req *gitalypb.UserCreateBranchRequest) (*gitalypb.UserCreateBranchResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, err := branchUser(req.GetBranchName(), req.GetUser())
	if err != nil {
		return nil, err
	}
	if err := wire.CheckRevision(string(req.GetStartPoint())); err != nil {
		return nil, wire.Fault(err, "start point")
	}
	commit, err := h.findCommit(ctx, repo, "refs/heads/"+string(req.GetStartPoint()))
	if err == nil && commit == nil {
		commit, err = h.findCommit(ctx, repo, string(req.GetStartPoint()))
	}
	switch {
	case err != nil:
		return nil, wire.Fault(err, "resolve start point")
	case commit == nil:
		return nil, status.Errorf(codes.FailedPrecondition, "revspec '%s' not found", req.GetStartPoint())
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: zeroOID, new: commit.GetId()}
	err = changed(repo.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook == nil {
			return nil
		}
		return &gitalypb.UserCreateBranchError{Error: &gitalypb.UserCreateBranchError_CustomHook{CustomHook: why.hook}}
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserCreateBranchResponse{Branch: &gitalypb.Branch{Name: req.GetBranchName(), TargetCommit: commit}}, nil
}

// UserUpdateBranch moves a branch that is where the request takes it to be.
func (h *handlers) UserUpdateBranch(ctx context.Context, req *gitalypb.UserUpdateBranchRequest) (*gitalypb.UserUpdateBranchResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, err := branchUser(req.GetBranchName(), req.GetUser())
	if err != nil {
		return nil, err
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: string(req.GetOldrev()), new: string(req.GetNewrev())}
	for _, revision := range []string{change.old, change.new} {
		if err := wire.CheckRevision(revision); err != nil {
			return nil, err
		}
	}
	err = repo.change(ctx, change)
	if hook, ok := errors.AsType[*hookRefusal](err); ok {
		return &gitalypb.UserUpdateBranchResponse{PreReceiveError: hook.Error()}, nil
	}
	if err != nil {
		return nil, changed(err, change, nil)
	}
	return &gitalypb.UserUpdateBranchResponse{}, nil
}

// UserDeleteBranch deletes a branch.
func (h *handlers) UserDeleteBranch(ctx context.Context, req *gitalypb.UserDeleteBranchRequest) (*gitalypb.UserDeleteBranchResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, err := branchUser(req.GetBranchName(), req.GetUser())
	if err != nil {
		return nil, err
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, new: zeroOID}
	if change.old, err = repo.value(ctx, ref); err != nil {
		return nil, wire.Fault(err, "look up branch")
	}
	if change.old == zeroOID {
		return nil, status.Errorf(codes.FailedPrecondition, "branch not found: %q", req.GetBranchName())
	}
	if expected := req.GetExpectedOldOid(); expected != "" {
		change.old = expected
	}
	err = changed(repo.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook != nil {
			return &gitalypb.UserDeleteBranchError{Error: &gitalypb.UserDeleteBranchError_CustomHook{CustomHook: why.hook}}
		}
		return &gitalypb.UserDeleteBranchError{Error: &gitalypb.UserDeleteBranchError_ReferenceUpdate{ReferenceUpdate: why.update}}
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserDeleteBranchResponse{}, nil
}
