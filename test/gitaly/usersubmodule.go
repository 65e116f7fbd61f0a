package gitaly

import (
	"context"
	"errors"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly/internal/wire"
)

// submodule is the mode of a commit of another repository in a tree.
const submodule = "160000"

// UserUpdateSubmodule makes a submodule of a branch another commit.
func (h *handlers) UserUpdateSubmodule(ctx context.Context, req *gitalypb.UserUpdateSubmoduleRequest) (*gitalypb.UserUpdateSubmoduleResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	ref, name, err := checkSubmodule(req)
	if err != nil {
		return nil, err
	}
	old, err := repo.branchTip(ctx, ref, "")
	if err != nil {
		return nil, err
	}
	tree, err := repo.readTree(ctx, old)
	if err != nil {
		return nil, wire.Fault(err, "read tree")
	}
	switch current := tree.files[name]; {
	case current.mode != submodule:
		return &gitalypb.UserUpdateSubmoduleResponse{CommitError: "Invalid submodule path"}, nil
	case current.oid == req.GetCommitSha():
		return &gitalypb.UserUpdateSubmoduleResponse{
			CommitError: fmt.Sprintf("The submodule %s is already at %s", name, req.GetCommitSha()),
		}, nil
	}
	tree.files[name] = file{mode: submodule, oid: req.GetCommitSha()}
	commit, err := tree.commit(ctx, old, &gitalypb.UserCommitFilesRequestHeader{
		User: req.GetUser(), CommitMessage: req.GetCommitMessage(), Timestamp: req.GetTimestamp(),
	})
	if err != nil {
		return nil, wire.Fault(err, "write commit")
	}
	change := refChange{user: req.GetUser(), repo: req.GetRepository(), ref: ref, old: old, new: commit}
	if expected := req.GetExpectedOldOid(); expected != "" {
		change.old = expected
	}
	err = repo.change(ctx, change)
	if hook, ok := errors.AsType[*hookRefusal](err); ok {
		return &gitalypb.UserUpdateSubmoduleResponse{PreReceiveError: hook.Error()}, nil
	}
	if err != nil {
		return nil, changed(err, change, nil)
	}
	return &gitalypb.UserUpdateSubmoduleResponse{BranchUpdate: &gitalypb.OperationBranchUpdate{CommitId: commit}}, nil
}

func checkSubmodule(req *gitalypb.UserUpdateSubmoduleRequest) (ref, name string, err error) {
	ref, err = branchUser(req.GetBranch(), req.GetUser())
	switch {
	case err != nil:
		return "", "", err
	case len(req.GetCommitSha()) != len(zeroOID):
		return "", "", wire.InvalidArgument("invalid CommitSha")
	case len(req.GetCommitMessage()) == 0:
		return "", "", wire.InvalidArgument("empty CommitMessage")
	case len(req.GetSubmodule()) == 0:
		return "", "", wire.InvalidArgument("empty Submodule")
	}
	if expected := req.GetExpectedOldOid(); expected != "" {
		if err := wire.CheckRevision(expected); err != nil {
			return "", "", err
		}
	}
	return ref, string(req.GetSubmodule()), nil
}
