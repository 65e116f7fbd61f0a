package gitalytest

import (
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
)

// writeRef: the one mutator, with compare and swap.
func (s *suite) writeRef(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, nil)
	zero := strings.Repeat("0", 40)
	first, second, third := objects.Commits[0], objects.Commits[1], objects.Commits[2]
	const anyError = codes.Unknown // 16.7 answers Internal, 18.9 NotFound
	for _, step := range []struct {
		name               string
		ref, revision, old string
		want               codes.Code
		value              string // of the reference afterwards, "" for absent
	}{
		{"made where absent", "refs/heads/a", first, zero, codes.OK, first},
		{"made where present", "refs/heads/a", second, zero, codes.Internal, first},
		{"swapped from the wrong value", "refs/heads/a", second, third, codes.Internal, first},
		{"swapped", "refs/heads/a", second, first, codes.OK, second},
		{"set whatever it is", "refs/heads/a", third, "", codes.OK, third},
		{"set to another's value", "refs/heads/b", "refs/heads/a", "", codes.OK, third},
		{"set to what is absent", "refs/heads/b", "refs/heads/absent", "", anyError, third},
		{"swapped from what is absent", "refs/heads/b", first, "refs/heads/absent", anyError, third},
		{"made inside of another", "refs/heads/b/c", first, "", codes.Internal, ""},
		{"deleted at the wrong value", "refs/heads/b", zero, first, codes.Internal, third},
		{"deleted", "refs/heads/b", zero, third, codes.OK, ""},
		{"made inside of a deleted one", "refs/heads/b/c", first, "", codes.OK, first},
		{"made around another", "refs/heads/b", first, "", codes.Internal, ""},
		{"not a full name", "heads/a", first, "", codes.InvalidArgument, ""},
		{"an option", "-d", first, "", codes.InvalidArgument, ""},
		{"nothing", "", first, "", codes.InvalidArgument, ""},
		{"to nothing", "refs/heads/a", "", "", codes.InvalidArgument, third},
		{"to a path", "refs/heads/a", "HEAD:a", "", codes.InvalidArgument, third},
		{"from two words", "refs/heads/a", first, "a b", codes.InvalidArgument, third},
	} {
		if err := s.tryWrite(repo, step.ref, step.revision, step.old); step.want == anyError {
			wantError(t, step.name, err)
		} else {
			wantCode(t, step.name, err, step.want)
		}
		if !strings.HasPrefix(step.ref, "refs/") {
			continue
		}
		if got := s.listed(t, repo, step.ref)[step.ref]; got != step.value {
			t.Errorf("%s: got value %q, want %q", step.name, got, step.value)
		}
		exists, err := s.refs.RefExists(s.ctx, &gitalypb.RefExistsRequest{Repository: repo, Ref: []byte(step.ref)})
		if err != nil || exists.GetValue() != (step.value != "") {
			t.Errorf("%s: exists: got %v, %v, want %v", step.name, exists.GetValue(), err, step.value != "")
		}
	}
	_, err := s.refs.RefExists(s.ctx, &gitalypb.RefExistsRequest{Repository: repo, Ref: []byte("heads/a")})
	wantCode(t, "existence of what is not a full name", err, codes.InvalidArgument)
}

// listed returns the references that match a pattern, with their values.
func (s *suite) listed(t *testing.T, repo *gitalypb.Repository, pattern string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for _, ref := range s.list(t, &gitalypb.ListRefsRequest{Repository: repo, Patterns: [][]byte{[]byte(pattern)}}) {
		found[string(ref.GetName())] = ref.GetTarget()
	}
	return found
}

func (s *suite) list(t *testing.T, req *gitalypb.ListRefsRequest) []*gitalypb.ListRefsResponse_Reference {
	t.Helper()
	stream, err := s.refs.ListRefs(s.ctx, req)
	all, err := collect(stream, err)
	if err != nil {
		t.Fatalf("list references: %v", err)
	}
	var refs []*gitalypb.ListRefsResponse_Reference
	for _, resp := range all {
		refs = append(refs, resp.GetReferences()...)
	}
	return refs
}

// listRefs: by pattern, in order.
func (s *suite) listRefs(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, map[string]int{
		"refs/heads/main": 0, "refs/heads/topic/a": 1, "refs/heads/topic/b": 2, "refs/heads/topical": 1, "refs/tags/v1": 0,
	})
	for _, row := range []struct {
		name string
		req  *gitalypb.ListRefsRequest
		want []string
	}{
		{"all", &gitalypb.ListRefsRequest{Patterns: patterns("refs/")},
			[]string{"refs/heads/main", "refs/heads/topic/a", "refs/heads/topic/b", "refs/heads/topical", "refs/tags/v1"}},
		{"a directory", &gitalypb.ListRefsRequest{Patterns: patterns("refs/heads/topic")},
			[]string{"refs/heads/topic/a", "refs/heads/topic/b"}},
		{"a glob and a name", &gitalypb.ListRefsRequest{Patterns: patterns("refs/tags/v*", "refs/heads/main")},
			[]string{"refs/heads/main", "refs/tags/v1"}},
		{"none", &gitalypb.ListRefsRequest{Patterns: patterns("refs/none")}, nil},
		{"HEAD first", &gitalypb.ListRefsRequest{Patterns: patterns("refs/tags/"), Head: true},
			[]string{"HEAD", "refs/tags/v1"}},
		{"HEAD alone", &gitalypb.ListRefsRequest{Patterns: patterns("refs/none"), Head: true}, []string{"HEAD"}},
		{"backwards", &gitalypb.ListRefsRequest{Patterns: patterns("refs/heads/topic/"), SortBy: &gitalypb.ListRefsRequest_SortBy{
			Direction: gitalypb.SortDirection_DESCENDING}}, []string{"refs/heads/topic/b", "refs/heads/topic/a"}},
		{"at an object", &gitalypb.ListRefsRequest{Patterns: patterns("refs/"), PointingAtOids: patterns(objects.Commits[0])},
			[]string{"refs/heads/main", "refs/tags/v1"}},
	} {
		row.req.Repository = repo
		var got []string
		for _, ref := range s.list(t, row.req) {
			got = append(got, string(ref.GetName()))
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%s: got %v, want %v", row.name, got, row.want)
		}
	}
	stream, err := s.refs.ListRefs(s.ctx, &gitalypb.ListRefsRequest{Repository: repo})
	wantCode(t, "no patterns", drain(stream, err), codes.InvalidArgument)
}

func patterns(all ...string) [][]byte {
	var raw [][]byte
	for _, pattern := range all {
		raw = append(raw, []byte(pattern))
	}
	return raw
}

// head: the name in HEAD, and its stand-in.
func (s *suite) head(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, nil)
	want := func(what, headOnly, branch string) {
		t.Helper()
		for only, want := range map[bool]string{true: headOnly, false: branch} {
			resp, err := s.refs.FindDefaultBranchName(s.ctx, &gitalypb.FindDefaultBranchNameRequest{Repository: repo, HeadOnly: only})
			if err != nil || string(resp.GetName()) != want {
				t.Errorf("%s (HEAD only: %v): got %q, %v, want %q", what, only, resp.GetName(), err, want)
			}
		}
	}
	want("new repository", "refs/heads/main", "")
	s.write(t, repo, "refs/tags/a", objects.Commits[0], "")
	want("no branch", "refs/heads/main", "")
	s.write(t, repo, "refs/heads/b", objects.Commits[0], "")
	s.write(t, repo, "refs/heads/a", objects.Commits[0], "")
	want("other branches", "refs/heads/main", "refs/heads/a")
	s.write(t, repo, "refs/heads/master", objects.Commits[0], "")
	want("a usual branch", "refs/heads/main", "refs/heads/master")
	s.write(t, repo, "HEAD", "refs/heads/b", "")
	want("HEAD set", "refs/heads/b", "refs/heads/b")
	wantCode(t, "HEAD set to no reference", s.tryWrite(repo, "HEAD", objects.Commits[0], ""), codes.Internal)
	want("HEAD still set", "refs/heads/b", "refs/heads/b")

	_, err := s.repos.CreateRepository(s.ctx, &gitalypb.CreateRepositoryRequest{
		Repository: s.repository("trunk.git"), DefaultBranch: []byte("trunk"),
	})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	repo = s.repository("trunk.git")
	want("made with another branch", "refs/heads/trunk", "")
}
