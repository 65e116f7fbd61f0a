package gitalytest

import (
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
)

// repositories: they come and go, each once.
func (s *suite) repositories(t *testing.T) {
	repo := s.repository("group/sub/a.git")
	exists := func(want bool) {
		t.Helper()
		resp, err := s.repos.RepositoryExists(s.ctx, &gitalypb.RepositoryExistsRequest{Repository: repo})
		if err != nil || resp.GetExists() != want {
			t.Errorf("exists: got %v, %v, want %v", resp.GetExists(), err, want)
		}
	}
	exists(false)
	s.create(t, repo)
	exists(true)

	_, err := s.repos.CreateRepository(s.ctx, &gitalypb.CreateRepositoryRequest{Repository: repo})
	wantCode(t, "create again", err, codes.AlreadyExists)
	unclean := s.repository("group//x/../sub/./a.git")
	_, err = s.repos.CreateRepository(s.ctx, &gitalypb.CreateRepositoryRequest{Repository: unclean})
	wantCode(t, "create again by an unclean path", err, codes.AlreadyExists)
	other := named(s.Other, repo.GetRelativePath())
	s.create(t, other)

	if _, err := s.repos.RepositorySize(s.ctx, &gitalypb.RepositorySizeRequest{Repository: repo}); err != nil {
		t.Errorf("size: %v", err)
	}
	if _, err := s.repos.RemoveRepository(s.ctx, &gitalypb.RemoveRepositoryRequest{Repository: repo}); err != nil {
		t.Fatalf("remove: %v", err)
	}
	exists(false)
	_, err = s.repos.RemoveRepository(s.ctx, &gitalypb.RemoveRepositoryRequest{Repository: repo})
	wantCode(t, "remove again", err, codes.NotFound)
	s.create(t, repo)
	exists(true)
}

// walk: every repository of one storage, in order.
func (s *suite) walk(t *testing.T) {
	want := []string{"@hashed/6b/86/1.git", "a.git", "b/c.git", "b/d/e"}
	for _, path := range slices.Backward(want) {
		s.create(t, s.repository(path))
	}
	s.create(t, s.repository("gone.git"))
	if _, err := s.repos.RemoveRepository(s.ctx, &gitalypb.RemoveRepositoryRequest{Repository: s.repository("gone.git")}); err != nil {
		t.Fatalf("remove: %v", err)
	}
	s.create(t, named(s.Other, "other.git"))
	if got := s.walked(t, s.Storage); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	stream, err := gitalypb.NewInternalGitalyClient(s.Conn).WalkRepos(s.ctx, &gitalypb.WalkReposRequest{StorageName: "unknown"})
	wantCode(t, "unknown storage", drain(stream, err), codes.InvalidArgument)
}

// walked returns the paths that WalkRepos sends.
func (s *suite) walked(t *testing.T, storage string) []string {
	t.Helper()
	stream, err := gitalypb.NewInternalGitalyClient(s.Conn).WalkRepos(s.ctx, &gitalypb.WalkReposRequest{StorageName: storage})
	all, err := collect(stream, err)
	if err != nil {
		t.Fatalf("walk: %v", err)
	}
	var paths []string
	for _, resp := range all {
		paths = append(paths, resp.GetRelativePath())
		if resp.GetModificationTime().AsTime().Year() < 2000 {
			t.Errorf("%q: got modification time %v", resp.GetRelativePath(), resp.GetModificationTime().AsTime())
		}
	}
	return paths
}

// checksum: equal references, equal checksums, in any order and place; those
// of no usual kind do not count.
func (s *suite) checksum(t *testing.T) {
	a, b := s.repository("a.git"), named(s.Other, "b.git")
	objects := s.seeded(t, a, nil)
	s.seeded(t, b, nil)
	if got, want := s.sum(t, a), strings.Repeat("0", 40); got != want {
		t.Errorf("empty repository: got %q, want %q", got, want)
	}
	seen := map[string]string{s.sum(t, a): "empty"}
	for _, step := range []struct {
		name, ref string
		revision  string
	}{
		{"a branch that HEAD does not name", "refs/heads/other", objects.Commits[0]},
		{"a branch that HEAD names", "refs/heads/main", objects.Commits[0]},
		{"a moved branch", "refs/heads/other", objects.Commits[1]},
		{"a tag", "refs/tags/v1", objects.Commits[1]},
		{"a reference of another kind", "refs/keep-around/a", objects.Commits[2]},
		{"a branch deleted", "refs/heads/main", strings.Repeat("0", 40)},
		{"HEAD moved", "HEAD", "refs/heads/other"},
	} {
		s.write(t, a, step.ref, step.revision, "")
		if before, twice := seen[s.sum(t, a)]; twice {
			t.Errorf("%s: checksum is that of %q", step.name, before)
		}
		if s.sum(t, a) == s.sum(t, b) {
			t.Errorf("%s: checksum is that of a repository without it", step.name)
		}
		seen[s.sum(t, a)] = step.name
		s.write(t, b, step.ref, step.revision, "")
		if got, want := s.sum(t, b), s.sum(t, a); got != want {
			t.Errorf("%s: got checksums %q and %q, want equal ones", step.name, got, want)
		}
	}
	before := s.sum(t, a)
	s.write(t, a, "refs/pipelines/1", objects.Commits[0], "")
	if got := s.sum(t, a); got != before {
		t.Errorf("a reference of no usual kind counts: got checksum %q, want %q as before", got, before)
	}
}
