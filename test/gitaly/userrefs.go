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

// refChange is what a user makes of a reference.
type refChange struct {
	user *gitalypb.User
	ref  string
	old  string // zero: it is absent
	new  string // zero: it is deleted
}

// changeRef makes a user's change. Its errors are statuses. A change that git
// refuses, since the reference is not where the user took it to be, is
// FailedPrecondition, with details if the caller has some.
func (h *handlers) changeRef(ctx context.Context, repo *repository, c refChange, details func(*gitalypb.ReferenceUpdateError) protoadapt.MessageV1) error {
	err := repo.updateRef(ctx, c.ref, c.new, c.old)
	if _, refused := errors.AsType[*gitError](err); !refused {
		return wire.Fault(err, "update reference")
	}
	fault := status.Newf(codes.FailedPrecondition, "Could not update %s. Please refresh and try again.", c.ref)
	if details == nil {
		return fault.Err()
	}
	return withDetails(fault, details(&gitalypb.ReferenceUpdateError{ReferenceName: []byte(c.ref), OldOid: c.old, NewOid: c.new}))
}

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

// branchUser checks what all changes of a branch have in common, and returns
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

// value returns what a reference is, zero if it is absent.
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
	err = h.changeRef(ctx, repo, refChange{user: req.GetUser(), ref: ref, old: zeroOID, new: commit.GetId()}, nil)
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
	change := refChange{user: req.GetUser(), ref: ref, old: string(req.GetOldrev()), new: string(req.GetNewrev())}
	for _, revision := range []string{change.old, change.new} {
		if err := wire.CheckRevision(revision); err != nil {
			return nil, err
		}
	}
	if err := h.changeRef(ctx, repo, change, nil); err != nil {
		return nil, err
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
	change := refChange{user: req.GetUser(), ref: ref, new: zeroOID}
	if change.old, err = repo.value(ctx, ref); err != nil {
		return nil, wire.Fault(err, "look up branch")
	}
	if change.old == zeroOID {
		return nil, status.Errorf(codes.FailedPrecondition, "branch not found: %q", req.GetBranchName())
	}
	if expected := req.GetExpectedOldOid(); expected != "" {
		change.old = expected
	}
	err = h.changeRef(ctx, repo, change, func(e *gitalypb.ReferenceUpdateError) protoadapt.MessageV1 {
		return &gitalypb.UserDeleteBranchError{Error: &gitalypb.UserDeleteBranchError_ReferenceUpdate{ReferenceUpdate: e}}
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserDeleteBranchResponse{}, nil
}
