package gitaly

import (
	"context"
	"errors"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// UserCherryPick makes on a branch, or on a new one, the change that a commit
// made elsewhere.
func (h *handlers) UserCherryPick(ctx context.Context, req *gitalypb.UserCherryPickRequest) (*gitalypb.UserCherryPickResponse, error) {
	update, err := h.pick(ctx, req, false, pickDetails{
		conflict: func(e *gitalypb.MergeConflictError) protoadapt.MessageV1 {
			return &gitalypb.UserCherryPickError{Error: &gitalypb.UserCherryPickError_CherryPickConflict{CherryPickConflict: e}}
		},
		applied: func(e *gitalypb.ChangesAlreadyAppliedError) protoadapt.MessageV1 {
			return &gitalypb.UserCherryPickError{Error: &gitalypb.UserCherryPickError_ChangesAlreadyApplied{ChangesAlreadyApplied: e}}
		},
		diverged: func(e *gitalypb.NotAncestorError) protoadapt.MessageV1 {
			return &gitalypb.UserCherryPickError{Error: &gitalypb.UserCherryPickError_TargetBranchDiverged{TargetBranchDiverged: e}}
		},
		hook: func(e *gitalypb.CustomHookError) protoadapt.MessageV1 {
			return &gitalypb.UserCherryPickError{Error: &gitalypb.UserCherryPickError_AccessCheck{AccessCheck: denied(e)}}
		},
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserCherryPickResponse{BranchUpdate: update}, nil
}

// UserRevert takes back on a branch, or on a new one, the change that a commit
// made.
func (h *handlers) UserRevert(ctx context.Context, req *gitalypb.UserRevertRequest) (*gitalypb.UserRevertResponse, error) {
	same := &gitalypb.UserCherryPickRequest{
		Repository: req.GetRepository(), User: req.GetUser(), Commit: req.GetCommit(), BranchName: req.GetBranchName(),
		Message: req.GetMessage(), StartBranchName: req.GetStartBranchName(), StartRepository: req.GetStartRepository(),
		DryRun: req.GetDryRun(), Timestamp: req.GetTimestamp(), ExpectedOldOid: req.GetExpectedOldOid(),
	}
	update, err := h.pick(ctx, same, true, pickDetails{
		conflict: func(e *gitalypb.MergeConflictError) protoadapt.MessageV1 {
			return &gitalypb.UserRevertError{Error: &gitalypb.UserRevertError_MergeConflict{MergeConflict: e}}
		},
		applied: func(e *gitalypb.ChangesAlreadyAppliedError) protoadapt.MessageV1 {
			return &gitalypb.UserRevertError{Error: &gitalypb.UserRevertError_ChangesAlreadyApplied{ChangesAlreadyApplied: e}}
		},
		diverged: func(e *gitalypb.NotAncestorError) protoadapt.MessageV1 {
			return &gitalypb.UserRevertError{Error: &gitalypb.UserRevertError_NotAncestor{NotAncestor: e}}
		},
		hook: func(e *gitalypb.CustomHookError) protoadapt.MessageV1 {
			return &gitalypb.UserRevertError{Error: &gitalypb.UserRevertError_CustomHook{CustomHook: e}}
		},
	})
	if err != nil {
		return nil, err
	}
	return &gitalypb.UserRevertResponse{BranchUpdate: update}, nil
}

// pickDetails put the reasons of a refusal into the message that belongs to
// the method.
type pickDetails struct {
	conflict func(*gitalypb.MergeConflictError) protoadapt.MessageV1
	applied  func(*gitalypb.ChangesAlreadyAppliedError) protoadapt.MessageV1
	diverged func(*gitalypb.NotAncestorError) protoadapt.MessageV1
	hook     func(*gitalypb.CustomHookError) protoadapt.MessageV1
}

// pick makes the commit and sets the branch to it. Its errors are statuses.
func (h *handlers) pick(ctx context.Context, req *gitalypb.UserCherryPickRequest, revert bool, details pickDetails) (*gitalypb.OperationBranchUpdate, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, err := checkPick(req)
	if err != nil {
		return nil, err
	}
	start := firstSet(req.GetStartBranchName(), req.GetBranchName())
	tip, err := h.branchOf(ctx, repo, req.GetRepository(), req.GetStartRepository(), start)
	if err != nil {
		return nil, err
	}
	picked, err := h.findCommit(ctx, repo, req.GetCommit().GetId())
	if err != nil {
		return nil, wire.Fault(err, "look up commit")
	}
	if picked == nil {
		return nil, status.Errorf(codes.NotFound, "commit not found: %q", req.GetCommit().GetId())
	}
	tree, err := h.pickTree(ctx, repo, tip, picked, revert)
	if unfit, ok := errors.AsType[*conflict](err); ok {
		return nil, withDetails(status.New(codes.FailedPrecondition, "could not apply: there are conflicting files"), details.conflict(unfit.details()))
	}
	if err != nil {
		return nil, wire.Fault(err, "merge trees")
	}
	if tree == tip.GetTreeId() {
		return nil, withDetails(status.New(codes.FailedPrecondition, "could not apply because the result was empty"),
			details.applied(&gitalypb.ChangesAlreadyAppliedError{}))
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, new: tip.GetId()}
	if !req.GetDryRun() {
		env, err := identity(req.GetUser(), req.GetTimestamp(), nil, nil)
		if err != nil {
			return nil, err
		}
		if !revert {
			env = append(env, authorOf(picked, req.GetCommitAuthorName(), req.GetCommitAuthorEmail())...)
		}
		change.new, err = repo.writeCommit(ctx, newCommit{tree: tree, parents: []string{tip.GetId()}, message: req.GetMessage(), env: env})
		if err != nil {
			return nil, wire.Fault(err, "write commit")
		}
	}
	created, err := repo.extend(ctx, change, req.GetExpectedOldOid(), details)
	if err != nil {
		return nil, err
	}
	return &gitalypb.OperationBranchUpdate{CommitId: change.new, BranchCreated: created}, nil
}

func checkPick(req *gitalypb.UserCherryPickRequest) (ref string, err error) {
	ref, err = branchUser(req.GetBranchName(), req.GetUser())
	switch {
	case err != nil:
		return "", err
	case req.GetCommit() == nil:
		return "", wire.InvalidArgument("empty Commit")
	case len(req.GetMessage()) == 0:
		return "", wire.InvalidArgument("empty Message")
	}
	for _, revision := range []string{string(req.GetStartBranchName()), req.GetExpectedOldOid()} {
		if revision == "" {
			continue
		}
		if err := wire.CheckRevision(revision); err != nil {
			return "", err
		}
	}
	return ref, wire.CheckRevision(req.GetCommit().GetId())
}

// extend makes a user's change of a branch to a descendant of what it is, or
// makes the branch, and reports whether it did that. Its errors are statuses.
func (r *repository) extend(ctx context.Context, change refChange, expected string, details pickDetails) (created bool, err error) {
	if change.old, err = r.value(ctx, change.ref); err != nil {
		return false, wire.Fault(err, "look up branch")
	}
	created = change.old == zeroOID
	if !created {
		forward, err := r.isAncestor(ctx, change.old, change.new)
		if err != nil {
			return false, wire.Fault(err, "checking for ancestry")
		}
		if !forward {
			return false, withDetails(status.New(codes.FailedPrecondition, "branch diverged"), details.diverged(&gitalypb.NotAncestorError{
				ParentRevision: []byte(change.old), ChildRevision: []byte(change.new),
			}))
		}
	}
	if expected != "" {
		change.old = expected
	}
	return created, changed(r.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook == nil {
			return nil
		}
		return details.hook(why.hook)
	})
}

// denied is the refusal of a hook for methods that know no better details.
func denied(e *gitalypb.CustomHookError) *gitalypb.AccessCheckError {
	return &gitalypb.AccessCheckError{ErrorMessage: string(append(e.GetStderr(), e.GetStdout()...))}
}

// branchOf returns the commit that a branch leads to, with all that it needs
// in repo: in the repository itself, called self in the request, or in another
// one, which is reached as the gitaly-servers header says. Its errors are
// statuses.
func (h *handlers) branchOf(ctx context.Context, repo *repository, self, other *gitalypb.Repository, branch string) (*gitalypb.GitCommit, error) {
	ref := "refs/heads/" + branch
	// Behind a proxy the storage name of the same repository may differ: it is
	// not rewritten there.
	if other == nil || other.GetRelativePath() == self.GetRelativePath() {
		commit, err := h.findCommit(ctx, repo, ref)
		return found(commit, ref, wire.Fault(err, "look up branch"))
	}
	source, err := h.openSource(ctx, other)
	if err != nil {
		return nil, err
	}
	defer h.closeSource(source)
	resp, err := gitalypb.NewCommitServiceClient(source.conn).FindCommit(wire.PeerContext(ctx), &gitalypb.FindCommitRequest{
		Repository: source.repo, Revision: []byte(ref),
	})
	if err != nil || resp.GetCommit() == nil {
		return found(nil, ref, wire.Fault(err, "look up branch of the other repository"))
	}
	// Objects alone, which nothing leads to yet: that is nobody's vote.
	if err := source.fetch(vote.Without(ctx), repo, ref); err != nil {
		return nil, wire.Fault(err, "fetch branch of the other repository")
	}
	return resp.GetCommit(), nil
}

// found returns the commit that a reference leads to, or why there is none.
func found(commit *gitalypb.GitCommit, ref string, err error) (*gitalypb.GitCommit, error) {
	if err == nil && commit == nil {
		err = status.Errorf(codes.NotFound, "reference not found: %s", ref)
	}
	return commit, err
}
