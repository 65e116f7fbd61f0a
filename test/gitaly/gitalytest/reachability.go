package gitalytest

import (
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"

	"praefect/test/must"
)

// reachability: the questions of a comparison of two replicas. Two commits in a row, and one
// apart, to which no reference leads.
func (s *suite) reachability(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, nil)
	first := s.commit(t, repo, "main", "", "a", "1")
	second := s.commit(t, repo, "main", "", "b", "2")
	apart, absent := objects.Commits[0], strings.Repeat("1", 40)
	commits := gitalypb.NewCommitServiceClient(s.Conn)

	stream, err := commits.CheckObjectsExist(s.ctx)
	must.Succeed(t, err)
	revisions := []string{first, first + "^{commit}", objects.Blob, objects.Blob + "^{commit}", absent, absent + "^{commit}", "refs/heads/main"}
	exist := []bool{true, true, true, false, false, false, true}
	for from := 0; from < len(revisions); from += 4 { // each message is answered by itself
		req := &gitalypb.CheckObjectsExistRequest{}
		if from == 0 {
			req.Repository = repo
		}
		for _, revision := range revisions[from:min(from+4, len(revisions))] {
			req.Revisions = append(req.Revisions, []byte(revision))
		}
		must.Succeed(t, stream.Send(req))
	}
	must.Succeed(t, stream.CloseSend())
	answers, err := collect(stream, nil)
	if err != nil {
		t.Fatalf("check objects: %v", err)
	}
	n := 0
	for _, answer := range answers {
		for _, got := range answer.GetRevisions() {
			if string(got.GetName()) != revisions[n] || got.GetExists() != exist[n] {
				t.Errorf("%q exists: %v, want %q: %v", got.GetName(), got.GetExists(), revisions[n], exist[n])
			}
			n++
		}
	}
	if n != len(revisions) {
		t.Errorf("%d answers, want %d", n, len(revisions))
	}

	for _, row := range []struct {
		what      string
		revisions []string
		want      string
	}{
		{"a commit that a reference leads to", []string{second, "--not", "--all"}, ""},
		{"its ancestor", []string{first, second, "--not", "--all"}, ""},
		{"one that none leads to", []string{first, apart, "--not", "--all"}, apart},
		{"the newest of all", []string{"--all"}, second},
	} {
		list, err := commits.ListCommits(s.ctx, &gitalypb.ListCommitsRequest{
			Repository: repo, Revisions: row.revisions, Order: gitalypb.ListCommitsRequest_DATE,
			PaginationParams: &gitalypb.PaginationParameter{Limit: 1},
		})
		answers, err := collect(list, err)
		got := ""
		for _, answer := range answers {
			for _, commit := range answer.GetCommits() {
				got += commit.GetId()
			}
		}
		if err != nil || got != row.want {
			t.Errorf("%s: got %q, %v, want %q", row.what, got, err, row.want)
		}
	}
	_, err = commits.CommitIsAncestor(s.ctx, &gitalypb.CommitIsAncestorRequest{Repository: s.repository("absent.git"), AncestorId: first, ChildId: second})
	wantCode(t, "ancestors in no repository", err, codes.NotFound)
	for _, row := range []struct {
		ancestor, child string
		want            bool
	}{{first, second, true}, {first, first, true}, {second, first, false}, {apart, second, false}} {
		got, err := commits.CommitIsAncestor(s.ctx, &gitalypb.CommitIsAncestorRequest{Repository: repo, AncestorId: row.ancestor, ChildId: row.child})
		if err != nil || got.GetValue() != row.want {
			t.Errorf("%s is an ancestor of %s: %v, %v, want %v", row.ancestor, row.child, got.GetValue(), err, row.want)
		}
	}
}
