package gitaly

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

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
	env     []string // its author and time, see identity
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
