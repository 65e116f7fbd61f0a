package gitaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/gitaly/internal/wire"
)

// UserCommitFiles makes a commit out of the actions that are streamed in and
// sets a branch to it, if the branch still is where the request takes it to
// be. The parent is start_sha, else the start branch, else the branch itself.
func (h *handlers) UserCommitFiles(stream gitalypb.OperationService_UserCommitFilesServer) error {
	ctx := stream.Context()
	first, err := stream.Recv()
	if err != nil {
		return wire.Fault(err, "receive first message")
	}
	header := first.GetHeader()
	if header == nil {
		return wire.InvalidArgument("empty UserCommitFilesRequestHeader")
	}
	repo, err := h.existing(header.GetRepository())
	if err != nil {
		return err
	}
	if err := checkCommitHeader(header); err != nil {
		return err
	}
	plan, err := repo.planCommit(ctx, header)
	if err != nil {
		return wire.Fault(err, "resolve parent commit")
	}
	tree, err := repo.readTree(ctx, plan.parent)
	if err != nil {
		return wire.Fault(err, "read tree")
	}
	actions := &actionReader{receive: stream.Recv}
	for {
		action, err := actions.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return wire.Fault(err, "receive action")
		}
		if err := tree.apply(ctx, action, actions); err != nil {
			return err
		}
	}
	commit, err := tree.commit(ctx, plan.parent, header)
	if err != nil {
		return wire.Fault(err, "write commit")
	}
	change := refChange{user: header.GetUser(), repo: header.GetRepository(), ref: plan.branch, old: plan.old, new: commit}
	if err := changed(repo.change(ctx, change), change); err != nil {
		return err
	}
	return stream.SendAndClose(&gitalypb.UserCommitFilesResponse{BranchUpdate: &gitalypb.OperationBranchUpdate{
		CommitId:      commit,
		RepoCreated:   plan.firstBranch,
		BranchCreated: plan.old == zeroOID,
	}})
}

func checkCommitHeader(header *gitalypb.UserCommitFilesRequestHeader) error {
	switch {
	case header.GetUser() == nil:
		return wire.InvalidArgument("empty User")
	case len(header.GetUser().GetName()) == 0 || len(header.GetUser().GetEmail()) == 0:
		return wire.InvalidArgument("empty user name or email")
	case len(header.GetCommitMessage()) == 0:
		return wire.InvalidArgument("empty CommitMessage")
	case len(header.GetBranchName()) == 0:
		return wire.InvalidArgument("empty BranchName")
	}
	for _, revision := range []string{string(header.GetBranchName()), string(header.GetStartBranchName()), header.GetStartSha(), header.GetExpectedOldOid()} {
		if revision == "" {
			continue
		}
		if err := wire.CheckRevision(revision); err != nil {
			return err
		}
	}
	// A commit of another repository would have to be fetched first. Behind a
	// proxy the storage name of the same repository may differ: it is not
	// rewritten there.
	start := header.GetStartRepository()
	if start != nil && start.GetRelativePath() != header.GetRepository().GetRelativePath() {
		return wire.InvalidArgument("start_repository is not the repository itself")
	}
	return nil
}

// commitPlan is where a commit goes.
type commitPlan struct {
	branch      string // full name
	parent      string // "" for none
	old         string // the commit that the branch must be at; zero: absent
	firstBranch bool   // the repository has no branch yet
}

// planCommit resolves the names in the header.
func (r *repository) planCommit(ctx context.Context, header *gitalypb.UserCommitFilesRequestHeader) (*commitPlan, error) {
	plan := &commitPlan{branch: "refs/heads/" + string(header.GetBranchName())}
	current, err := r.resolve(ctx, plan.branch+"^{commit}")
	if err != nil {
		return nil, err
	}
	branches, err := r.output(ctx, "for-each-ref", "--count=1", "--format=%(refname)", "refs/heads/")
	if err != nil {
		return nil, err
	}
	plan.firstBranch = len(branches) == 0
	plan.parent = current
	from := header.GetStartSha()
	if start := header.GetStartBranchName(); from == "" && len(start) > 0 && !plan.firstBranch {
		from = "refs/heads/" + string(start)
	}
	if from != "" {
		if plan.parent, err = r.resolve(ctx, from+"^{commit}"); err != nil {
			return nil, err
		}
		if plan.parent == "" {
			return nil, fmt.Errorf("%q leads to no commit", from)
		}
	}
	switch expected := header.GetExpectedOldOid(); {
	case expected != "":
		plan.old = expected
	case current == "":
		plan.old = zeroOID
	case header.GetForce():
		plan.old = current
	default:
		plan.old = plan.parent
	}
	return plan, nil
}

// commit writes the tree and a commit of it, and returns the commit's id.
func (t *tree) commit(ctx context.Context, parent string, header *gitalypb.UserCommitFilesRequestHeader) (string, error) {
	oid, err := t.write(ctx)
	if err != nil {
		return "", err
	}
	env, err := identity(header.GetUser(), header.GetTimestamp(), header.GetCommitAuthorName(), header.GetCommitAuthorEmail())
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", oid}
	if parent != "" {
		args = append(args, "-p", parent)
	}
	out, err := t.repo.git.output(ctx, command{repo: t.repo, args: args, stdin: bytes.NewReader(header.GetCommitMessage()), env: env})
	return strings.TrimSpace(string(out)), err
}

// identity is the author of a commit and its time, as git takes it from its
// environment: the user, unless an author is named, at the time given, else
// now. Only a time that is given makes the commit the same on every storage.
func identity(user *gitalypb.User, at *timestamppb.Timestamp, authorName, authorEmail []byte) ([]string, error) {
	date, err := dateOf(user, at)
	if err != nil {
		return nil, err
	}
	return []string{
		"GIT_AUTHOR_NAME=" + firstSet(authorName, user.GetName()),
		"GIT_AUTHOR_EMAIL=" + firstSet(authorEmail, user.GetEmail()),
		"GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=" + string(user.GetName()),
		"GIT_COMMITTER_EMAIL=" + string(user.GetEmail()),
		"GIT_COMMITTER_DATE=" + date,
	}, nil
}

// dateOf returns a time in git's form, in the user's zone.
func dateOf(user *gitalypb.User, at *timestamppb.Timestamp) (string, error) {
	when := time.Now()
	if at != nil {
		when = at.AsTime()
	}
	if zone := user.GetTimezone(); zone != "" {
		location, err := time.LoadLocation(zone)
		if err != nil {
			return "", wire.InvalidArgument("unknown time zone %q", zone)
		}
		when = when.In(location)
	}
	return fmt.Sprintf("%d %s", when.Unix(), when.Format("-0700")), nil
}

func firstSet(wanted, otherwise []byte) string {
	if trimmed := strings.TrimSpace(string(wanted)); trimmed != "" {
		return trimmed
	}
	return string(otherwise)
}
