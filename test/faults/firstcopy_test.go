package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/must"
)

// beginnings are repositories with real git on the disks of storages, before a cluster
// begins. A commit is named by a letter, and the name of a branch's value is the
// letters of its commits: "abc" is two commits ahead of "a". The same letters are the
// same commits everywhere.
type beginnings map[string]map[string]string // path, storage, "branch=letters branch=letters"

// disk puts onto one storage's disk what it begins with.
func (b beginnings) disk(ctx context.Context, dir string) error {
	storage := filepath.Base(filepath.Dir(dir))
	for path, by := range b {
		refs, has := by[storage]
		if !has {
			continue
		}
		repo := filepath.Join(dir, path)
		if _, err := bareGit(ctx, "", "init", "--quiet", "--bare", "--initial-branch=main", repo); err != nil {
			return err
		}
		for _, ref := range strings.Fields(refs) {
			branch, letters, _ := strings.Cut(ref, "=")
			id, err := chain(ctx, repo, letters)
			if err != nil {
				return err
			}
			if _, err := bareGit(ctx, repo, "update-ref", "refs/heads/"+branch, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// chain makes a commit for each letter, each on the one before.
func chain(ctx context.Context, repo, letters string) (id string, err error) {
	tree, err := bareGit(ctx, repo, "mktree")
	if err != nil {
		return "", err
	}
	for _, letter := range letters {
		args := []string{"commit-tree", tree, "-m", string(letter)}
		if id != "" {
			args = append(args, "-p", id)
		}
		if id, err = bareGit(ctx, repo, args...); err != nil {
			return "", err
		}
	}
	return id, nil
}

func bareGit(ctx context.Context, repo string, args ...string) (string, error) {
	if repo != "" {
		args = append([]string{"--git-dir", repo}, args...)
	}
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.com", "GIT_COMMITTER_DATE=1700000000 +0000"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out)), nil
}

// branches are the branches of a repository on a storage's disk, each with the letters
// of its commits; "none" if there is no such repository.
func branches(t *testing.T, s *cluster.Storage, path string) string {
	t.Helper()
	repo := filepath.Join(s.Dir, path)
	if _, err := os.Stat(repo); os.IsNotExist(err) {
		return "none"
	}
	names, err := bareGit(t.Context(), repo, "for-each-ref", "--format=%(refname:short)", "refs/heads/")
	must.Succeed(t, err)
	var all []string
	for _, name := range strings.Fields(names) {
		subjects, err := bareGit(t.Context(), repo, "log", "--reverse", "--format=%s", name)
		must.Succeed(t, err)
		all = append(all, name+"="+strings.Join(strings.Fields(subjects), ""))
	}
	return strings.Join(all, " ")
}

// everywhere tells what all storages have of a repository.
func everywhere(t *testing.T, c *cluster.Cluster, path string) string {
	t.Helper()
	var all []string
	for _, s := range c.Storages {
		all = append(all, branches(t, s, path))
	}
	return strings.Join(all, " | ")
}

// TestFirstCopy_destroysNothing begins clusters on disks that differ, as after a
// quorum was lost: the most advanced replica is what all storages get, wherever it is;
// and where each side has something of its own, nothing is copied until an operator
// says which one counts.
func TestFirstCopy_destroysNothing(t *testing.T) {
	t.Parallel()
	begin := beginnings{
		"behind.git": {"gitaly-1": "main=a", "gitaly-2": "main=ab", "gitaly-3": "main=ab"},
		"alike.git":  {"gitaly-1": "main=abc", "gitaly-2": "main=abc", "gitaly-3": "main=abc"},
		"only.git":   {"gitaly-3": "main=abc other=ax"},
		"merged.git": {"gitaly-1": "main=ab topic=a", "gitaly-2": "main=abc", "gitaly-3": "main=ab topic=a"},
		"apart.git":  {"gitaly-1": "main=ab", "gitaly-2": "main=ax", "gitaly-3": "main=ab"},
		"twice.git":  {"gitaly-1": "main=ab", "gitaly-2": "main=ab", "gitaly-3": "main=axyz"},
	}
	c := cluster.Run(t, cluster.Options{Binaries: programs, Settings: patient, Disk: func(ctx context.Context, _, dir string) error {
		return begin.disk(ctx, dir)
	}})
	eventually(t, time.Minute, func(ctx context.Context) error { return allServe(ctx, c) })
	for path, want := range map[string]string{
		"behind.git": "main=ab | main=ab | main=ab",
		"alike.git":  "main=abc | main=abc | main=abc",
		"only.git":   "main=abc other=ax | main=abc other=ax | main=abc other=ax",
		"merged.git": "main=abc | main=abc | main=abc",
		"apart.git":  "main=ab | main=ax | main=ab",
		"twice.git":  "main=ab | main=ab | main=axyz",
	} {
		eventually(t, time.Minute, func(context.Context) error {
			if got := everywhere(t, c, path); got != want {
				return fmt.Errorf("%s: got %s, want %s", path, got, want)
			}
			return nil
		})
	}
	conflicts(t, c, "apart.git gitaly-2", "twice.git gitaly-3")
	status, err := c.Instances[0].Admin().Status(t.Context(), admin.StatusRequest{})
	if err != nil || status.VirtualStorages[0].Conflicts != 2 {
		t.Errorf("status: %+v, %v, want 2 conflicts", status, err)
	}
	if n := logged(t, c.Instances[0].Process, 0, "a repository is in conflict"); n != 2 {
		t.Errorf("%d lines of the log tell of conflicts, want 2", n)
	}

	// A client writes on beside a conflict, and the other side stays.
	w := clone(t, c, vs, "apart.git")
	must.Succeed(t, w.push(t.Context(), "main", "p"))
	if got := branches(t, c.Storages[1], "apart.git"); got != "main=ax" {
		t.Errorf("a push has changed the other side to %s", got)
	}
	for path, storage := range map[string]string{"apart.git": "gitaly-1", "twice.git": "gitaly-3"} {
		if _, err := praefect(t, c, c.Instances[0], "accept-dataloss", "-virtual-storage", vs, "-relative-path", path, "-authoritative-storage", storage); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"apart.git": "main=abp | main=abp | main=abp", "twice.git": "main=axyz | main=axyz | main=axyz"} {
		eventually(t, time.Minute, func(context.Context) error {
			if got := everywhere(t, c, path); got != want {
				return fmt.Errorf("%s: got %s, want %s", path, got, want)
			}
			return nil
		})
	}
	eventually(t, time.Minute, c.WaitConverged)
	conflicts(t, c)
}

// conflicts wants these repositories in conflict, each with the storage whose side is
// kept beside the primary's.
func conflicts(t *testing.T, c *cluster.Cluster, want ...string) {
	t.Helper()
	lost, err := c.Instances[0].Admin().Dataloss(t.Context(), admin.DatalossRequest{VirtualStorage: vs})
	must.Succeed(t, err)
	var got []string
	for _, r := range lost.Repositories {
		for _, side := range r.Conflicts {
			got = append(got, r.RelativePath+" "+side.Storage)
			if side.Primary != "gitaly-1" || side.Differing != 1 || side.Sample[0].Name != "refs/heads/main" || side.Here.Commit == "" ||
				side.There.Commit == side.Here.Commit || side.There.Time != 1700000000 {
				t.Errorf("%s is described as %+v", r.RelativePath, side)
			}
		}
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("in conflict: %q, want %q", got, want)
	}
}
