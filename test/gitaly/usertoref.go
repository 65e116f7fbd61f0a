package gitaly

import (
	"context"
	"errors"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// UserMergeToRef sets a reference of a merge request to the merge of two
// commits; no branch moves, and no hook but git's own is asked.
func (h *handlers) UserMergeToRef(ctx context.Context, req *gitalypb.UserMergeToRefRequest) (*gitalypb.UserMergeToRefResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	first := string(req.GetFirstParentRef())
	plan, err := repo.planToRef(ctx, req.GetUser(), first, req.GetSourceSha(), req.GetTargetRef(), req.GetExpectedOldOid())
	if err != nil {
		return nil, err
	}
	env, err := identity(req.GetUser(), req.GetTimestamp(), nil, nil)
	if err != nil {
		return nil, err
	}
	merge, err := repo.merge(ctx, plan.first, plan.source, req.GetMessage(), env)
	if err != nil {
		return nil, plan.fault(err, "Failed to create merge commit for source_sha %s and target_sha %s at %s")
	}
	if err := plan.write(ctx, merge); err != nil {
		return nil, err
	}
	return &gitalypb.UserMergeToRefResponse{CommitId: merge}, nil
}

// UserRebaseToRef sets a reference of a merge request to what a rebase makes of
// a commit; no branch moves, and no hook but git's own is asked.
func (h *handlers) UserRebaseToRef(ctx context.Context, req *gitalypb.UserRebaseToRefRequest) (*gitalypb.UserRebaseToRefResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	first := string(req.GetFirstParentRef())
	plan, err := repo.planToRef(ctx, req.GetUser(), first, req.GetSourceSha(), req.GetTargetRef(), req.GetExpectedOldOid())
	if err != nil {
		return nil, err
	}
	env, err := identity(req.GetUser(), req.GetTimestamp(), nil, nil)
	if err != nil {
		return nil, err
	}
	rebased, err := h.rebase(ctx, repo, plan.source, plan.first, env)
	if err != nil {
		return nil, plan.fault(err, "failed to rebase %s on %s while preparing %s due to conflict")
	}
	if err := plan.write(ctx, rebased); err != nil {
		return nil, err
	}
	return &gitalypb.UserRebaseToRefResponse{CommitId: rebased}, nil
}

// toRef is a change of a reference to something made of two commits.
type toRef struct {
	repo          *repository
	first, source string
	ref, old      string
}

// planToRef resolves what a request names. Its errors are statuses.
func (r *repository) planToRef(ctx context.Context, user *gitalypb.User, first, source string, target []byte, expected string) (*toRef, error) {
	if err := checkUser(user); err != nil {
		return nil, err
	}
	if err := checkRefName(target); err != nil {
		return nil, err
	}
	plan := &toRef{repo: r, ref: string(target)}
	if !strings.HasPrefix(plan.ref, "refs/merge-requests/") {
		return nil, wire.InvalidArgument("invalid target ref")
	}
	var err error
	if plan.first, err = r.commitNamed(ctx, first); err != nil {
		return nil, err
	}
	if plan.source, err = r.commitNamed(ctx, source); err != nil {
		return nil, err
	}
	if plan.old = expected; expected != "" {
		return plan, wire.CheckRevision(expected)
	}
	if plan.old, err = r.value(ctx, plan.ref); err != nil {
		return nil, wire.Fault(err, "look up target ref")
	}
	return plan, nil
}

// commitNamed returns the id of the commit that a revision leads to. Its errors
// are statuses.
func (r *repository) commitNamed(ctx context.Context, revision string) (string, error) {
	if err := wire.CheckRevision(revision); err != nil {
		return "", err
	}
	oid, err := r.resolve(ctx, revision+"^{commit}")
	if err == nil && oid == "" {
		return "", wire.InvalidArgument("revision %q leads to no commit", revision)
	}
	return oid, wire.Fault(err, "look up commit")
}

// fault is the status of a failure to make the commit; format takes source,
// first parent and reference.
func (p *toRef) fault(err error, format string) error {
	if _, ok := errors.AsType[*conflict](err); ok {
		return status.Errorf(codes.FailedPrecondition, format, p.source, p.first, p.ref)
	}
	return wire.Fault(err, "make commit")
}

// write sets the reference. Its errors are statuses.
func (p *toRef) write(ctx context.Context, commit string) error {
	return changed(p.repo.updateRef(ctx, p.ref, commit, p.old), refChange{ref: p.ref, old: p.old, new: commit}, nil)
}
