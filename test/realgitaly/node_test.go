package realgitaly

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/cluster"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// TestRealGitaly_votes checks of a node alone what strong consistency rests on: of
// every method that is sent to several storages, that the storage asks before it has
// an effect, and how it ends when it is told not to.
func TestRealGitaly_votes(t *testing.T) {
	gitaly := operators(t)
	fresh := func(t *testing.T) gitalytest.Subject { return subject(t, gitaly) }
	t.Run("common", func(t *testing.T) { gitalytest.ExerciseVotes(t, fresh) })
	t.Run("git", func(t *testing.T) { gitalytest.ExerciseGitVotes(t, fresh) })
	t.Run("real", func(t *testing.T) { gitalytest.ExerciseRealVotes(t, fresh) })
}

// TestRealGitaly_contract checks of a node alone what else the proxy and repairs rest
// on. What is not here is how storages of ours are stricter, or serve less.
func TestRealGitaly_contract(t *testing.T) {
	gitaly := operators(t)
	fresh := func(t *testing.T) gitalytest.Subject { return subject(t, gitaly) }
	checks := []string{"blob", "checksum", "head", "push", "replicate", "repositories", "server", "unasked", "walk", "write ref"}
	if gitaly.Major() < 18 { // repairs compare HEAD after each copy, and set it
		checks = append(checks, "replicate HEAD")
	}
	gitalytest.Exercise(t, fresh, checks...)
	gitalytest.ExerciseGit(t, fresh, "bundle", "commits", "sidechannels", "unasked of git's")
}

func TestNode_ofAStandIn(t *testing.T) {
	gitaly := standInFor(t)
	gitalytest.Exercise(t, func(t *testing.T) gitalytest.Subject { return subject(t, gitaly) }, "server", "write ref")
}

// subject is a node that nobody else uses.
func subject(t *testing.T, gitaly *cluster.Gitaly) gitalytest.Subject {
	t.Helper()
	dir, err := os.MkdirTemp("", "node-") // short: sockets of Gitaly are in it
	must.Succeed(t, err)
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	node, err := cluster.StartNode(t.Context(), programs, gitaly, dir, "one", "two")
	must.Succeed(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			log, err := os.ReadFile(node.Log())
			t.Logf("the end of the node's log, %v:\n%s", err, log[max(0, len(log)-4<<10):])
		}
		if err := node.Kill(); err != nil { // in good order it would take its time
			t.Error(err)
		}
		if err := node.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	git := gitaly.Git
	if git == "" {
		git = "git"
	}
	path := func(repo *gitalypb.Repository) string {
		if repo.GetStorageName() == node.Other {
			return filepath.Join(node.OtherDir, repo.GetRelativePath())
		}
		return filepath.Join(node.Dir, repo.GetRelativePath())
	}
	return gitalytest.Subject{
		KillsGit: gitaly.Major() >= 17,
		Conn:     node.Conn(), Address: "tcp://" + node.Addr, Token: node.Token, Storage: node.Name, Other: node.Other, Path: path,
		Seed: func(t *testing.T, repo *gitalypb.Repository) gitalytest.Objects { return seed(t, git, path(repo)) },
	}
}

// seed writes three commits and a blob.
func seed(t *testing.T, git, dir string) gitalytest.Objects {
	t.Helper()
	run := func(stdin []byte, args ...string) string {
		t.Helper()
		cmd := exec.Command(git, args...)
		cmd.Dir = dir
		cmd.Env = []string{ // the same objects in every repository
			"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0100",
			"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org", "GIT_COMMITTER_DATE=1700000000 +0100",
		}
		cmd.Stdin = bytes.NewReader(stdin)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, &stderr)
		}
		return strings.TrimSpace(string(out))
	}
	blob := bytes.Repeat([]byte("some text\n"), 30_000)
	objects := gitalytest.Objects{Blob: run(blob, "hash-object", "-w", "--stdin"), BlobSize: int64(len(blob))}
	tree := run([]byte("100644 blob "+objects.Blob+"\ttext\n"), "mktree")
	for range 3 {
		args := []string{"commit-tree", tree, "-m", "a commit"}
		if n := len(objects.Commits); n > 0 {
			args = append(args, "-p", objects.Commits[n-1])
		}
		objects.Commits = append(objects.Commits, run(nil, args...))
	}
	return objects
}
