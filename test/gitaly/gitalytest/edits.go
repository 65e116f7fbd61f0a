package gitalytest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// zero is the id of no object.
var zero = strings.Repeat("0", 40)

// at is when all commits and tags of the suite are made.
func at() *timestamppb.Timestamp { return timestamppb.New(time.Unix(1_700_000_000, 0)) }

func user() *gitalypb.User {
	return &gitalypb.User{GlId: "user-1", Name: []byte("U"), Email: []byte("u@example.org"), GlUsername: "u"}
}

// commit writes a file on a branch and returns the commit's id.
func (s *suite) commit(t *testing.T, repo *gitalypb.Repository, branch, from, file, content string) string {
	t.Helper()
	commit, err := s.tryCommit(repo, branch, from, file, content)
	if err != nil {
		t.Fatalf("commit on %q: %v", branch, err)
	}
	return commit
}

func (s *suite) tryCommit(repo *gitalypb.Repository, branch, from, file, content string) (string, error) {
	action := func(a *gitalypb.UserCommitFilesAction) *gitalypb.UserCommitFilesRequest {
		return &gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: a}}
	}
	resp, err := upload(s.ctx, s.edits.UserCommitFiles,
		&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repo, User: user(), BranchName: []byte(branch), CommitMessage: []byte("edit"), StartSha: from, Timestamp: at(),
		}}},
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
			Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(file)},
		}}),
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte(content)}}),
	)
	return resp.GetBranchUpdate().GetCommitId(), err
}

// want fails the test unless the reference has the value, "" for absent.
func (s *suite) want(t *testing.T, what string, repo *gitalypb.Repository, ref, value string) {
	t.Helper()
	if got := s.listed(t, repo, ref)[ref]; got != value {
		t.Errorf("%s: %s: got %q, want %q", what, ref, got, value)
	}
}

// manyReferences: all of them change, or none.
func (s *suite) manyReferences(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, map[string]int{"refs/heads/a": 0, "refs/heads/b": 0, "refs/tags/c": 0, "refs/keep/d": 0})
	first, second := objects.Commits[0], objects.Commits[1]
	update := func(updates ...[3]string) error { return update(s.ctx, s.refs, repo, updates...) }
	wantCode(t, "update", update([3]string{"refs/heads/a", first, second}, [3]string{"refs/heads/new", zero, first}, [3]string{"refs/heads/b", "", zero}), codes.OK)
	s.want(t, "update", repo, "refs/heads/a", second)
	s.want(t, "update", repo, "refs/heads/new", first)
	s.want(t, "update", repo, "refs/heads/b", "")
	wantCode(t, "one of two refused", update([3]string{"refs/heads/new", first, second}, [3]string{"refs/heads/a", first, first}), codes.FailedPrecondition)
	s.want(t, "one of two refused", repo, "refs/heads/new", first)
	wantCode(t, "malformed", update([3]string{"a b", "", first}), codes.InvalidArgument)
	wantCode(t, "none", update(), codes.InvalidArgument)

	remove := func(req *gitalypb.DeleteRefsRequest) error {
		req.Repository = repo
		return errorOf(s.refs.DeleteRefs(s.ctx, req))
	}
	wantCode(t, "delete", remove(&gitalypb.DeleteRefsRequest{Refs: patterns("refs/heads/a", "refs/heads/absent")}), codes.OK)
	s.want(t, "delete", repo, "refs/heads/a", "")
	wantCode(t, "delete nothing", remove(&gitalypb.DeleteRefsRequest{}), codes.InvalidArgument)
	wantCode(t, "delete all but", remove(&gitalypb.DeleteRefsRequest{ExceptWithPrefix: patterns("refs/keep/")}), codes.OK)
	if got := s.listed(t, repo, "refs/"); len(got) != 1 || got["refs/keep/d"] != first {
		t.Errorf("delete all but: got %v, want what is kept", got)
	}
}

// bytesOf returns all data of a stream.
func bytesOf[T interface{ GetData() []byte }](stream interface{ Recv() (T, error) }, err error) ([]byte, error) {
	all, err := collect(stream, err)
	var data bytes.Buffer
	for _, resp := range all {
		data.Write(resp.GetData())
	}
	return data.Bytes(), err
}
