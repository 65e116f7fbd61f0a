package gitalytest

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"path"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"

	"praefect/test/must"
)

// same fails the test unless both repositories have the same references and
// HEAD.
func (s *suite) same(t *testing.T, what string, got, want *gitalypb.Repository) {
	t.Helper()
	if got, want := s.listed(t, got, "refs/"), s.listed(t, want, "refs/"); !maps.Equal(got, want) {
		t.Errorf("%s: got references %v, want %v", what, got, want)
	}
	if got, want := s.headOf(t, got), s.headOf(t, want); got != want {
		t.Errorf("%s: got HEAD %q, want %q", what, got, want)
	}
}

// forks: repositories that come from another one.
func (s *suite) forks(t *testing.T) {
	source := s.repository("a.git")
	s.seeded(t, source, map[string]int{"refs/heads/main": 0, "refs/heads/topic": 1, "refs/tags/v1": 0})
	s.write(t, source, "HEAD", "refs/heads/topic", "")
	fork := func(path, revision string, from *gitalypb.Repository) error {
		return errorOf(s.repos.CreateFork(s.context(t), &gitalypb.CreateForkRequest{
			Repository: s.repository(path), SourceRepository: from, Revision: []byte(revision),
		}))
	}
	wantCode(t, "fork", fork("fork.git", "", source), codes.OK)
	s.same(t, "fork", s.repository("fork.git"), source)
	wantCode(t, "fork again", fork("fork.git", "", source), codes.AlreadyExists)
	wantCode(t, "fork of a branch", fork("main.git", "refs/heads/main", source), codes.OK)
	if got := s.listed(t, s.repository("main.git"), "refs/"); len(got) != 1 || s.headOf(t, s.repository("main.git")) != "refs/heads/main" {
		t.Errorf("fork of a branch: got %v", got)
	}
	wantCode(t, "fork of nothing", fork("b.git", "", s.repository("absent.git")), codes.NotFound)
	wantCode(t, "fork of no source", fork("b.git", "", nil), codes.InvalidArgument)
}

// customHooks: set, read, replaced, and copied with the repository.
func (s *suite) customHooks(t *testing.T) {
	repo := s.repository("a.git")
	s.create(t, repo)
	read := func(repo *gitalypb.Repository) map[string]string {
		t.Helper()
		data, err := bytesOf(s.repos.GetCustomHooks(s.ctx, &gitalypb.GetCustomHooksRequest{Repository: repo}))
		must.Succeed(t, err)
		return unarchived(t, data)
	}
	if got := read(repo); len(got) > 0 {
		t.Errorf("new repository: got hooks %v", got)
	}
	for _, hooks := range []map[string]string{
		{"custom_hooks/pre-receive": "#!/bin/sh\n", "custom_hooks/update.d/1": "#!/bin/sh\nexit 0\n"},
		{"custom_hooks/post-receive": "#!/bin/sh\n"},
		{},
	} {
		s.SetHooks(t, repo, hooks)
		if got := read(repo); !maps.Equal(got, hooks) {
			t.Errorf("got hooks %v, want %v", got, hooks)
		}
		target := named(s.Other, "a.git")
		if _, err := s.repos.ReplicateRepository(s.context(t), &gitalypb.ReplicateRepositoryRequest{Repository: target, Source: repo}); err != nil {
			t.Fatal(err)
		}
		if got := read(target); !maps.Equal(got, hooks) {
			t.Errorf("replica: got hooks %v, want %v", got, hooks)
		}
	}
	escaping := &gitalypb.SetCustomHooksRequest{Repository: repo, Data: archived(t, map[string]string{"../escaped": ""})}
	wantCode(t, "escaping name", errorOf(upload(s.ctx, s.repos.SetCustomHooks, escaping)), codes.InvalidArgument)
}

// SetHooks gives a repository the hooks of that name and content: executable
// files below custom_hooks.
func (s Subject) SetHooks(t testing.TB, repo *gitalypb.Repository, hooks map[string]string) {
	t.Helper()
	set := gitalypb.NewRepositoryServiceClient(s.Conn).SetCustomHooks
	must.Succeed(t, errorOf(upload(t.Context(), set, &gitalypb.SetCustomHooksRequest{Repository: repo, Data: archived(t, hooks)})))
}

func archived(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, content := range files {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content)), Mode: 0o755})
		if err == nil {
			_, err = io.WriteString(w, content)
		}
		must.Succeed(t, err)
	}
	must.Succeed(t, w.Close())
	return out.Bytes()
}

// unarchived returns the files of an archive.
func unarchived(t testing.TB, data []byte) map[string]string {
	t.Helper()
	files := make(map[string]string)
	r := tar.NewReader(bytes.NewReader(data))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		must.Succeed(t, err)
		content, err := io.ReadAll(r)
		must.Succeed(t, err)
		if header.Typeflag == tar.TypeReg {
			files[path.Clean(header.Name)] = string(content)
		}
	}
}

// pools: objects that repositories borrow.
func (s *suite) pools(t *testing.T) {
	origin := s.repository("a.git")
	objects := s.seeded(t, origin, map[string]int{"refs/heads/main": 1})
	service := gitalypb.NewObjectPoolServiceClient(s.Conn)
	pool := pool(s.Storage)
	_, err := service.CreateObjectPool(s.ctx, &gitalypb.CreateObjectPoolRequest{ObjectPool: pool, Origin: origin})
	wantCode(t, "create", err, codes.OK)
	s.want(t, "create", pool.GetRepository(), "refs/remotes/origin/heads/main", objects.Commits[1])
	_, err = service.CreateObjectPool(s.ctx, &gitalypb.CreateObjectPoolRequest{
		ObjectPool: &gitalypb.ObjectPool{Repository: s.repository("pool.git")}, Origin: origin,
	})
	wantCode(t, "create elsewhere", err, codes.InvalidArgument)
	poolOf := func() string {
		t.Helper()
		resp, err := service.GetObjectPool(s.ctx, &gitalypb.GetObjectPoolRequest{Repository: origin})
		must.Succeed(t, err)
		return resp.GetObjectPool().GetRepository().GetRelativePath()
	}
	if got := poolOf(); got != "" {
		t.Errorf("before it is linked: got pool %q", got)
	}
	for range 2 { // the second time it is linked already
		_, err = service.LinkRepositoryToObjectPool(s.ctx, &gitalypb.LinkRepositoryToObjectPoolRequest{Repository: origin, ObjectPool: pool})
		wantCode(t, "link", err, codes.OK)
		if got, want := poolOf(), pool.GetRepository().GetRelativePath(); got != want {
			t.Errorf("linked: got pool %q, want %q", got, want)
		}
	}
	for _, repo := range []*gitalypb.Repository{origin, pool.GetRepository()} {
		_, err = s.repos.OptimizeRepository(s.ctx, &gitalypb.OptimizeRepositoryRequest{Repository: repo})
		wantCode(t, "optimize", err, codes.OK)
	}
	for range 2 { // the second time it is on its own already
		_, err = service.DisconnectGitAlternates(s.ctx, &gitalypb.DisconnectGitAlternatesRequest{Repository: origin})
		wantCode(t, "disconnect", err, codes.OK)
	}
	for range 2 { // the second time it is gone already
		_, err = service.DeleteObjectPool(s.ctx, &gitalypb.DeleteObjectPoolRequest{ObjectPool: pool})
		wantCode(t, "delete", err, codes.OK)
	}
	s.bundleOf(t, origin) // which needs every object
}

// commits: the answers about history.
func (s *suite) commits(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, map[string]int{"refs/heads/main": 2, "refs/heads/old": 0})
	history := gitalypb.NewCommitServiceClient(s.Conn)
	for _, want := range []bool{true, false} {
		ancestor, child := objects.Commits[0], objects.Commits[2]
		if !want {
			ancestor, child = child, ancestor
		}
		resp, err := history.CommitIsAncestor(s.ctx, &gitalypb.CommitIsAncestorRequest{Repository: repo, AncestorId: ancestor, ChildId: child})
		if err != nil || resp.GetValue() != want {
			t.Errorf("ancestor: got %v, %v, want %v", resp.GetValue(), err, want)
		}
	}
	listing, err := history.ListCommits(s.ctx, &gitalypb.ListCommitsRequest{Repository: repo, Revisions: []string{"main", "^old"}})
	commits, err := collect(listing, err)
	if err != nil || len(commits) != 1 || len(commits[0].GetCommits()) != 2 || commits[0].GetCommits()[0].GetId() != objects.Commits[2] {
		t.Errorf("commits: got %v, %v", commits, err)
	}
}
