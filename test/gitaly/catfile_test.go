package gitaly_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// keeping is a server that keeps two processes for reads of commits.
type keeping struct {
	*fixture
	log string // a line for each git that was started
}

func startKeeping(t *testing.T) keeping {
	t.Helper()
	f := keeping{&fixture{dir: map[string]string{"one": t.TempDir(), "two": t.TempDir()}}, filepath.Join(t.TempDir(), "log")}
	program := filepath.Join(t.TempDir(), "git")
	must.Succeed(t, os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\" >>"+f.log+"\nexec git \"$@\"\n"), 0o755))
	server, err := gitaly.New(gitaly.Config{Storages: f.dir, Token: token, Grace: -1, Git: program, CatFiles: 2})
	must.Succeed(t, err)
	f.address = gitalytest.Serve(t, server.Run)
	f.clients = newClients(gitalytest.Dial(t, f.address, token))
	return f
}

// seeded makes a repository and returns a commit in it.
func (f keeping) seeded(t *testing.T, path string) (*gitalypb.Repository, string) {
	t.Helper()
	repo := &gitalypb.Repository{StorageName: "one", RelativePath: path}
	_, err := f.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo})
	must.Succeed(t, err)
	return repo, f.seed(t, repo).Commits[0]
}

// find returns the id of the commit that a revision leads to, and the processes that were started for it.
func (f keeping) find(t *testing.T, repo *gitalypb.Repository, revision string) (id string, started int) {
	t.Helper()
	before := f.started(t)
	answer, err := f.commits.FindCommit(t.Context(), &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte(revision)})
	must.Succeed(t, err)
	return answer.GetCommit().GetId(), f.started(t) - before
}

func (f keeping) started(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(f.log)
	must.Succeed(t, err)
	return strings.Count(string(text), "cat-file")
}

// expect is find with its answer.
func (f keeping) expect(t *testing.T, what string, repo *gitalypb.Repository, revision, id string, started int) {
	t.Helper()
	if got, n := f.find(t, repo, revision); got != id || n != started {
		t.Errorf("%s: got %q with %d processes started, want %q with %d", what, got, n, id, started)
	}
}

func TestCatFiles_areKept(t *testing.T) {
	f := startKeeping(t)
	a, commit := f.seeded(t, "a.git")
	b, _ := f.seeded(t, "b.git")
	c, _ := f.seeded(t, "c.git")
	f.expect(t, "the first", a, commit, commit, 1)
	f.expect(t, "the second", a, commit, commit, 0)
	f.expect(t, "one that is absent", a, "absent", "", 0)
	f.expect(t, "one after that", a, commit, commit, 0)
	f.expect(t, "of another repository", b, commit, commit, 1)
	f.expect(t, "of a third one", c, commit, commit, 1)
	f.expect(t, "of the second one", b, commit, commit, 0)
	f.expect(t, "of the first one, which made room", a, commit, commit, 1)
}

// What a process has opened before a change is never part of an answer after it.
func TestCatFiles_endWithAChange(t *testing.T) {
	f := startKeeping(t)
	repo, commit := f.seeded(t, "a.git")
	f.expect(t, "before", repo, "refs/heads/x", "", 1)
	_, err := f.repos.WriteRef(t.Context(), &gitalypb.WriteRefRequest{Repository: repo, Ref: []byte("refs/heads/x"), Revision: []byte(commit)})
	must.Succeed(t, err)
	f.expect(t, "after a write", repo, "refs/heads/x", commit, 1)

	_, err = f.repos.RemoveRepository(t.Context(), &gitalypb.RemoveRepositoryRequest{Repository: repo})
	must.Succeed(t, err)
	_, err = f.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repo})
	must.Succeed(t, err)
	f.expect(t, "of a new one in its place", repo, commit, "", 1)
}

// TestCatFiles_endWithTheDirectory replaces a repository without a call.
func TestCatFiles_endWithTheDirectory(t *testing.T) {
	f := startKeeping(t)
	full, commit := f.seeded(t, "a.git")
	empty := &gitalypb.Repository{StorageName: "one", RelativePath: "b.git"}
	_, err := f.repos.CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: empty})
	must.Succeed(t, err)
	f.expect(t, "before", full, commit, commit, 1)
	must.Succeed(t, os.Rename(f.path(full), f.path(full)+".old"))
	must.Succeed(t, os.Rename(f.path(empty), f.path(full)))
	f.expect(t, "of the empty one in its place", full, commit, "", 1)
}

func TestCatFiles_keepTheContract(t *testing.T) {
	gitalytest.ExerciseGit(t, func(t *testing.T) gitalytest.Subject { return startKeeping(t).subject() })
}
