package gitaly

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// emptyTree is the id of the tree without files, which git knows everywhere.
const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// conflict is the error of a merge whose two sides cannot both be had.
type conflict struct {
	files   [][]byte
	commits []string
}

// Error says so.
func (*conflict) Error() string { return "there are conflicting files" }

// details returns it as Gitaly's clients get it.
func (c *conflict) details() *gitalypb.MergeConflictError {
	return &gitalypb.MergeConflictError{ConflictingFiles: c.files, ConflictingCommitIds: c.commits}
}

// newCommit is a commit to be written.
type newCommit struct {
	tree    string
	parents []string
	message []byte
	env     []string // who makes it and when, see identity
}

// writeCommit stores a commit and returns its id.
func (r *repository) writeCommit(ctx context.Context, c newCommit) (string, error) {
	args := []string{"commit-tree", c.tree}
	for _, parent := range c.parents {
		args = append(args, "-p", parent)
	}
	out, err := r.git.output(ctx, command{repo: r, args: args, stdin: bytes.NewReader(c.message), env: c.env})
	return strings.TrimSpace(string(out)), err
}

// mergeTree stores the tree that two commits make together and returns its id.
// Its error is a *conflict if they do not fit.
func (r *repository) mergeTree(ctx context.Context, ours, theirs string) (string, error) {
	out, err := r.output(ctx, "merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", ours, theirs)
	tree, names, _ := bytes.Cut(out, []byte{0})
	if failed, ok := errors.AsType[*gitError](err); ok && failed.code == 1 {
		c := &conflict{commits: []string{ours, theirs}}
		for _, name := range bytes.Split(bytes.Trim(names, "\x00"), []byte{0}) {
			c.files = append(c.files, bytes.Clone(name))
		}
		return "", c
	}
	return string(tree), err
}

// merge stores the commit that merges theirs into ours and returns its id. Its
// error is a *conflict if they do not fit.
func (r *repository) merge(ctx context.Context, ours, theirs string, message []byte, env []string) (string, error) {
	tree, err := r.mergeTree(ctx, ours, theirs)
	if err != nil {
		return "", err
	}
	return r.writeCommit(ctx, newCommit{tree: tree, parents: []string{ours, theirs}, message: message, env: env})
}

// pickTree stores the tree of tip with what a commit changed from its first
// parent, or without that if it is reverted. Its error is a *conflict if that
// does not fit.
func (h *handlers) pickTree(ctx context.Context, repo *repository, tip, commit *gitalypb.GitCommit, revert bool) (string, error) {
	from, to := emptyTree, commit.GetTreeId()
	if parents := commit.GetParentIds(); len(parents) > 0 {
		parent, err := h.findCommit(ctx, repo, parents[0])
		if err != nil {
			return "", err
		}
		from = parent.GetTreeId()
	}
	if revert {
		from, to = to, from
	}
	tree, err := repo.mergeChange(ctx, tip.GetTreeId(), from, to)
	if unfit, ok := errors.AsType[*conflict](err); ok {
		unfit.commits = []string{tip.GetId(), commit.GetId()}
	}
	return tree, err
}

// mergeChange stores the tree that has the change from one tree to another,
// too. git merges no trees but those of commits, of which it finds the base
// itself, so that commits are made for it that have the right one. Nothing ever
// leads to them.
func (r *repository) mergeChange(ctx context.Context, ours, from, to string) (string, error) {
	var commits []string
	for _, tree := range []string{from, ours, to} {
		made, err := r.writeCommit(ctx, newCommit{tree: tree, parents: commits[:min(1, len(commits))], env: []string{
			"GIT_AUTHOR_NAME=merge", "GIT_AUTHOR_EMAIL=merge", "GIT_AUTHOR_DATE=@0 +0000",
			"GIT_COMMITTER_NAME=merge", "GIT_COMMITTER_EMAIL=merge", "GIT_COMMITTER_DATE=@0 +0000",
		}})
		if err != nil {
			return "", err
		}
		commits = append(commits, made)
	}
	return r.mergeTree(ctx, commits[1], commits[2])
}

// authorOf is who wrote a commit and when, as git takes it from its
// environment after what identity says; names that are given come first.
func authorOf(commit *gitalypb.GitCommit, name, email []byte) []string {
	author := commit.GetAuthor()
	env := []string{
		"GIT_AUTHOR_NAME=" + firstSet(name, author.GetName()),
		"GIT_AUTHOR_EMAIL=" + firstSet(email, author.GetEmail()),
	}
	if author.GetDate() != nil {
		env = append(env, fmt.Sprintf("GIT_AUTHOR_DATE=@%d %s", author.GetDate().GetSeconds(), author.GetTimezone()))
	}
	return env
}
