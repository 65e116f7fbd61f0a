package workload

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Branch is the branch that every seeded repository has.
const Branch = "main"

// seedValues is how many other commits it has.
const seedValues = 16

// Seeds are repositories that a storage begins with, the same at each.
type Seeds struct {
	template string
	paths    []string
	values   []string
}

// NewSeeds makes a template for n repositories with one commit in a directory.
func NewSeeds(ctx context.Context, dir string, n int) (*Seeds, error) {
	s := &Seeds{template: filepath.Join(dir, "template.git")}
	for i := range n {
		s.paths = append(s.paths, fmt.Sprintf("group/project-%02d.git", i))
	}
	if _, err := git(ctx, dir, "init", "--quiet", "--bare", "--template=", "--initial-branch="+Branch, s.template); err != nil {
		return nil, err
	}
	tree, err := git(ctx, s.template, "mktree")
	if err != nil {
		return nil, err
	}
	commit, err := git(ctx, s.template, "commit-tree", "-m", "Begin", tree)
	if err != nil {
		return nil, err
	}
	if _, err := git(ctx, s.template, "update-ref", "refs/heads/"+Branch, commit); err != nil {
		return nil, err
	}
	for i := range seedValues {
		value, err := git(ctx, s.template, "commit-tree", "-m", fmt.Sprint(i), "-p", commit, tree)
		if err != nil {
			return nil, err
		}
		// A copy of a repository has only the objects that a reference leads to.
		if _, err := git(ctx, s.template, "update-ref", fmt.Sprintf("refs/values/%d", i), value); err != nil {
			return nil, err
		}
		s.values = append(s.values, value)
	}
	_, err = git(ctx, s.template, "pack-refs", "--all")
	return s, err
}

// Values are commits that every repository has under a reference of their own.
func (s *Seeds) Values() []string { return s.values }

// Paths are the relative paths of the repositories.
func (s *Seeds) Paths() []string { return s.paths }

// Disk copies the repositories to the directory of a storage; it is the function that
// cluster.Options.Disk wants.
func (s *Seeds) Disk(_ context.Context, _, dir string) error {
	for _, path := range s.paths {
		if err := os.CopyFS(filepath.Join(dir, path), os.DirFS(s.template)); err != nil {
			return fmt.Errorf("copy a repository: %w", err)
		}
	}
	return nil
}

// git runs git on a repository past all servers, without a user's settings.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	const limit = time.Minute
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
		"GIT_AUTHOR_NAME=Author", "GIT_AUTHOR_EMAIL=author@example.com",
		"GIT_COMMITTER_NAME=Author", "GIT_COMMITTER_EMAIL=author@example.com",
	}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run git %s in %s: %w: %s", strings.Join(args, " "), dir, err, complaints.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}
