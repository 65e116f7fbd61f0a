package gitaly

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// UserApplyPatch makes a commit on a branch of every mail in the mailbox that
// is streamed in. A branch that is absent is made, from the one of HEAD.
func (h *handlers) UserApplyPatch(stream gitalypb.OperationService_UserApplyPatchServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	header := first.GetHeader()
	if header == nil {
		return wire.InvalidArgument("empty UserApplyPatch_Header")
	}
	repo, err := h.existing(header.GetRepository())
	if err != nil {
		return err
	}
	ref, err := branchUser(header.GetTargetBranch(), header.GetUser())
	if err != nil {
		return err
	}
	change := refChange{user: header.GetUser(), repo: header.GetRepository(), ref: ref}
	if change.old, err = repo.value(ctx, ref); err != nil {
		return wire.Fault(err, "look up branch")
	}
	start, created := ref, change.old == zeroOID
	if created {
		start = "HEAD"
	}
	base, err := h.findCommit(ctx, repo, start)
	if base, err = found(base, start, wire.Fault(err, "look up branch")); err != nil {
		return err
	}
	if expected := header.GetExpectedOldOid(); expected != "" {
		if err := wire.CheckRevision(expected); err != nil {
			return err
		}
		change.old = expected
	}
	env, err := identity(header.GetUser(), header.GetTimestamp(), nil, nil)
	if err != nil {
		return err
	}
	change.new, err = repo.applyMails(ctx, base.GetId(), env, &receiver{receive: func() ([]byte, error) {
		req, err := stream.Recv()
		return req.GetPatches(), err
	}})
	if err != nil {
		return err
	}
	if err := changed(repo.change(ctx, change), change, nil); err != nil {
		return err
	}
	return stream.SendAndClose(&gitalypb.UserApplyPatchResponse{
		BranchUpdate: &gitalypb.OperationBranchUpdate{CommitId: change.new, BranchCreated: created},
	})
}

// applyMails makes the commits of a mailbox on top of one and returns the id of
// the last. They are made in a repository of their own that has a work tree and
// keeps its objects in this one, so that nothing leads to them here. Its errors
// are statuses.
func (r *repository) applyMails(ctx context.Context, base string, env []string, mails *receiver) (string, error) {
	ctx = vote.Without(ctx)
	var last string
	err := r.storage.inTemp(func(dir string) error {
		mailbox, files := filepath.Join(dir, "mailbox"), filepath.Join(dir, "files")
		if err := errors.Join(writeFile(mailbox, mails), os.Mkdir(files, 0o755)); err != nil {
			return err
		}
		work := &repository{git: r.git, storage: r.storage, path: filepath.Join(dir, "repository")}
		if _, err := work.output(ctx, "init", "--bare", "--quiet", "--template="); err != nil {
			return err
		}
		run := func(args ...string) (string, error) {
			out, err := r.git.output(ctx, command{
				repo: work, args: args, config: []string{"core.bare=false"},
				env: append([]string{"GIT_WORK_TREE=" + files, "GIT_OBJECT_DIRECTORY=" + filepath.Join(r.path, "objects")}, env...),
			})
			return strings.TrimSpace(string(out)), err
		}
		if _, err := run("checkout", "--quiet", "--detach", base); err != nil {
			return fmt.Errorf("check out: %w", err)
		}
		said, err := run("am", "--quiet", "--3way", mailbox)
		if _, refused := errors.AsType[*gitError](err); refused {
			return status.Error(codes.FailedPrecondition, said)
		}
		if err != nil {
			return err
		}
		last, err = run("rev-parse", "HEAD")
		return err
	})
	return last, wire.Fault(err, "apply patches")
}
