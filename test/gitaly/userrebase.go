package gitaly

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"praefect/test/gitaly/internal/wire"
)

// UserRebaseConfirmable makes the commits of a branch anew on top of another
// branch, tells the id of the last one, and sets the branch to it once the
// client says so.
func (h *handlers) UserRebaseConfirmable(stream gitalypb.OperationService_UserRebaseConfirmableServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	header := first.GetHeader()
	if header == nil {
		return wire.InvalidArgument("empty UserRebaseConfirmableRequest.Header")
	}
	repo, err := h.existing(header.GetRepository())
	if err != nil {
		return err
	}
	ref, err := checkRebase(header)
	if err != nil {
		return err
	}
	onto, err := h.branchOf(ctx, repo, header.GetRepository(), header.GetRemoteRepository(), string(header.GetRemoteBranch()))
	if err != nil {
		return err
	}
	env, err := identity(header.GetUser(), header.GetTimestamp(), nil, nil)
	if err != nil {
		return err
	}
	rebased, err := h.rebase(ctx, repo, header.GetBranchSha(), onto.GetId(), env)
	if unfit, ok := errors.AsType[*conflict](err); ok {
		return withDetails(status.New(codes.FailedPrecondition, "rebasing commits: there are conflicting files"), &gitalypb.UserRebaseConfirmableError{
			Error: &gitalypb.UserRebaseConfirmableError_RebaseConflict{RebaseConflict: unfit.details()},
		})
	}
	if err != nil {
		return wire.Fault(err, "rebasing commits")
	}
	if err := stream.Send(&gitalypb.UserRebaseConfirmableResponse{
		UserRebaseConfirmableResponsePayload: &gitalypb.UserRebaseConfirmableResponse_RebaseSha{RebaseSha: rebased},
	}); err != nil {
		return wire.Fault(err, "send rebased commit")
	}
	second, err := stream.Recv()
	if err != nil && !errors.Is(err, io.EOF) {
		return wire.Fault(err, "receive second message")
	}
	if !second.GetApply() {
		return status.Error(codes.FailedPrecondition, "rebase aborted by client")
	}
	change := refChange{
		user: header.GetUser(), repo: header.GetRepository(), ref: ref, old: header.GetBranchSha(), new: rebased,
		options: header.GetGitPushOptions(),
	}
	err = changed(repo.change(ctx, change), change, func(why refusal) protoadapt.MessageV1 {
		if why.hook == nil {
			return nil
		}
		return &gitalypb.UserRebaseConfirmableError{Error: &gitalypb.UserRebaseConfirmableError_AccessCheck{AccessCheck: denied(why.hook)}}
	})
	if err != nil {
		return err
	}
	return wire.Fault(stream.Send(&gitalypb.UserRebaseConfirmableResponse{
		UserRebaseConfirmableResponsePayload: &gitalypb.UserRebaseConfirmableResponse_RebaseApplied{RebaseApplied: true},
	}), "send end of rebase")
}

func checkRebase(header *gitalypb.UserRebaseConfirmableRequest_Header) (ref string, err error) {
	ref, err = branchUser(header.GetBranch(), header.GetUser())
	switch {
	case err != nil:
		return "", err
	case header.GetRemoteRepository() == nil:
		return "", wire.InvalidArgument("empty RemoteRepository")
	}
	if err := wire.CheckRevision(string(header.GetRemoteBranch())); err != nil {
		return "", wire.Fault(err, "remote branch")
	}
	return ref, wire.Fault(wire.CheckRevision(header.GetBranchSha()), "branch SHA")
}

// rebase makes the commits that lead to branch and not to onto anew on top of
// it, committed by whom env says, and returns the id of the last one. Those
// that are there already, merges, and those that would change nothing are left
// out. Its error is a *conflict if one does not fit.
func (h *handlers) rebase(ctx context.Context, repo *repository, branch, onto string, env []string) (string, error) {
	tip, err := h.findCommit(ctx, repo, onto)
	if err != nil {
		return "", err
	}
	list, err := repo.output(ctx, "rev-list", "--reverse", "--topo-order", "--no-merges", "--cherry-pick", "--right-only", onto+"..."+branch)
	if err != nil {
		return "", err
	}
	var commits []*gitalypb.GitCommit
	err = repo.eachCommit(ctx, bytes.NewReader(list), func(commit *gitalypb.GitCommit) error {
		commits = append(commits, commit)
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, commit := range commits {
		if slices.Equal(commit.GetParentIds(), []string{tip.GetId()}) { // it is in its place
			tip = commit
			continue
		}
		tree, err := h.pickTree(ctx, repo, tip, commit, false)
		if err != nil {
			return "", err
		}
		if tree == tip.GetTreeId() {
			continue
		}
		made, err := repo.writeCommit(ctx, newCommit{
			tree: tree, parents: []string{tip.GetId()}, message: commit.GetBody(), env: slices.Concat(env, authorOf(commit, nil, nil)),
		})
		if err != nil {
			return "", err
		}
		tip = &gitalypb.GitCommit{Id: made, TreeId: tree}
	}
	return tip.GetId(), nil
}
