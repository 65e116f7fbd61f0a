package gitaly

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/vote"
	"praefect/test/gitaly/internal/wire"
)

// UserSquash makes one commit on top of the start of all that leads to the
// end. No reference leads to it: the commit itself is the effect, and is voted
// on.
func (h *handlers) UserSquash(ctx context.Context, req *gitalypb.UserSquashRequest) (*gitalypb.UserSquashResponse, error) {
	repo, err := h.existing(req.GetRepository())
	if err != nil {
		return nil, err
	}
	if err := checkSquash(req); err != nil {
		return nil, err
	}
	var ids [2]string
	for i, revision := range []string{req.GetStartSha(), req.GetEndSha()} {
		if ids[i], err = repo.resolve(ctx, revision+"^{commit}"); err != nil {
			return nil, wire.Fault(err, "look up commit")
		}
		if ids[i] == "" {
			return nil, withDetails(status.Newf(codes.InvalidArgument, "revision %q leads to no commit", revision), &gitalypb.UserSquashError{
				Error: &gitalypb.UserSquashError_ResolveRevision{ResolveRevision: &gitalypb.ResolveRevisionError{Revision: []byte(revision)}},
			})
		}
	}
	tree, err := repo.mergeTree(ctx, ids[0], ids[1])
	if unfit, ok := errors.AsType[*conflict](err); ok {
		return nil, withDetails(status.New(codes.FailedPrecondition, "squashing commits: there are conflicting files"), &gitalypb.UserSquashError{
			Error: &gitalypb.UserSquashError_RebaseConflict{RebaseConflict: unfit.details()},
		})
	}
	if err != nil {
		return nil, wire.Fault(err, "squashing commits")
	}
	env, err := identity(req.GetUser(), req.GetTimestamp(), req.GetAuthor().GetName(), req.GetAuthor().GetEmail())
	if err != nil {
		return nil, err
	}
	squashed, err := repo.addCommit(ctx, newCommit{tree: tree, parents: ids[:1], message: req.GetCommitMessage(), env: env})
	if err != nil {
		return nil, wire.Fault(err, "write squashed commit")
	}
	return &gitalypb.UserSquashResponse{SquashSha: squashed}, nil
}

func checkSquash(req *gitalypb.UserSquashRequest) error {
	if err := checkUser(req.GetUser()); err != nil {
		return err
	}
	switch {
	case req.GetAuthor() == nil:
		return wire.InvalidArgument("empty Author")
	case len(req.GetCommitMessage()) == 0:
		return wire.InvalidArgument("empty CommitMessage")
	}
	if err := wire.CheckRevision(req.GetStartSha()); err != nil {
		return wire.Fault(err, "start SHA")
	}
	return wire.Fault(wire.CheckRevision(req.GetEndSha()), "end SHA")
}

// addCommit stores a commit that is an effect by itself, if the storages
// agree, and returns its id.
func (r *repository) addCommit(ctx context.Context, c newCommit) (string, error) {
	var id string
	err := r.storage.inTemp(func(dir string) error {
		// Made out of sight first, as that tells its id; the second time it is the
		// same, as c says when it is made.
		elsewhere := filepath.Join(dir, "objects")
		if err := os.Mkdir(elsewhere, 0o755); err != nil {
			return err
		}
		unseen := c
		unseen.env = append([]string{
			"GIT_OBJECT_DIRECTORY=" + elsewhere,
			"GIT_ALTERNATE_OBJECT_DIRECTORIES=" + filepath.Join(r.path, "objects"),
		}, c.env...)
		var err error
		if id, err = r.writeCommit(ctx, unseen); err != nil {
			return err
		}
		return r.around(ctx, vote.Of([]byte(id)), func() error {
			_, err := r.writeCommit(ctx, c)
			return err
		})
	})
	return id, err
}
