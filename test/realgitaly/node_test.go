package realgitaly

import (
	"context"
	"os"
	"path/filepath"
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
		Seed: func(t *testing.T, repo *gitalypb.Repository) gitalytest.Objects {
			return gitalytest.SeedOnDisk(t, git, path(repo))
		},
	}
}
