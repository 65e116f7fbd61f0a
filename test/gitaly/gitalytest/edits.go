package gitalytest

import (
	"bytes"
	"errors"
	"io"
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
	commit, err := s.tryCommit(t, repo, branch, from, file, content)
	if err != nil {
		t.Fatalf("commit on %q: %v", branch, err)
	}
	return commit
}

func (s *suite) tryCommit(t *testing.T, repo *gitalypb.Repository, branch, from, file, content string) (string, error) {
	t.Helper()
	stream, err := s.edits.UserCommitFiles(s.ctx)
	if err != nil {
		return "", err
	}
	action := func(a *gitalypb.UserCommitFilesAction) *gitalypb.UserCommitFilesRequest {
		return &gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: a}}
	}
	for _, req := range []*gitalypb.UserCommitFilesRequest{
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repo, User: user(), BranchName: []byte(branch), CommitMessage: []byte("edit"), StartSha: from, Timestamp: at(),
		}}},
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
			Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(file)},
		}}),
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte(content)}}),
	} {
		if err := stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	resp, err := stream.CloseAndRecv()
	return resp.GetBranchUpdate().GetCommitId(), err
}

// want fails the test unless the reference has the value, "" for absent.
func (s *suite) want(t *testing.T, what string, repo *gitalypb.Repository, ref, value string) {
	t.Helper()
	if got := s.listed(t, repo, ref)[ref]; got != value {
		t.Errorf("%s: %s: got %q, want %q", what, ref, got, value)
	}
}

// branches: made, moved and deleted by users.
func (s *suite) branches(t *testing.T) {
	repo := s.repository("a.git")
	objects := s.seeded(t, repo, map[string]int{"refs/heads/main": 0})
	first, second, third := objects.Commits[0], objects.Commits[1], objects.Commits[2]
	for _, row := range []struct {
		name, branch, start string
		user                *gitalypb.User
		want                codes.Code
		value               string
	}{
		{"from a branch", "a", "main", user(), codes.OK, first},
		{"from a commit", "b", second, user(), codes.OK, second},
		{"existing", "a", second, user(), codes.FailedPrecondition, first},
		{"from nothing", "c", "absent", user(), codes.FailedPrecondition, ""},
		{"from no start", "c", "", user(), codes.InvalidArgument, ""},
		{"by nobody", "c", "main", nil, codes.InvalidArgument, ""},
		{"of no valid name", "c..d", "main", user(), codes.FailedPrecondition, ""},
	} {
		resp, err := s.edits.UserCreateBranch(s.ctx, &gitalypb.UserCreateBranchRequest{
			Repository: repo, BranchName: []byte(row.branch), StartPoint: []byte(row.start), User: row.user,
		})
		wantCode(t, "create "+row.name, err, row.want)
		s.want(t, "create "+row.name, repo, "refs/heads/"+row.branch, row.value)
		if err == nil && resp.GetBranch().GetTargetCommit().GetId() != row.value {
			t.Errorf("create %s: got %v", row.name, resp)
		}
	}
	for _, row := range []struct {
		name, old, new string
		want           codes.Code
		value          string
	}{
		{"from where it is", first, third, codes.OK, third},
		{"from where it was", first, second, codes.FailedPrecondition, third},
		{"to nothing", third, "", codes.InvalidArgument, third},
	} {
		_, err := s.edits.UserUpdateBranch(s.ctx, &gitalypb.UserUpdateBranchRequest{
			Repository: repo, BranchName: []byte("a"), User: user(), Oldrev: []byte(row.old), Newrev: []byte(row.new),
		})
		wantCode(t, "move "+row.name, err, row.want)
		s.want(t, "move "+row.name, repo, "refs/heads/a", row.value)
	}
	for _, row := range []struct {
		name, expected string
		want           codes.Code
		value          string
	}{
		{"elsewhere", first, codes.FailedPrecondition, third},
		{"where it is", third, codes.OK, ""},
		{"absent", "", codes.FailedPrecondition, ""},
	} {
		_, err := s.edits.UserDeleteBranch(s.ctx, &gitalypb.UserDeleteBranchRequest{
			Repository: repo, BranchName: []byte("a"), User: user(), ExpectedOldOid: row.expected,
		})
		wantCode(t, "delete "+row.name, err, row.want)
		s.want(t, "delete "+row.name, repo, "refs/heads/a", row.value)
	}
}

// tags: with and without an object of their own.
func (s *suite) tags(t *testing.T) {
	repo, other := s.repository("a.git"), named(s.Other, "a.git")
	objects := s.seeded(t, repo, nil)
	s.seeded(t, other, nil)
	create := func(repo *gitalypb.Repository, name, target, message string) (*gitalypb.Tag, error) {
		resp, err := s.edits.UserCreateTag(s.ctx, &gitalypb.UserCreateTagRequest{
			Repository: repo, TagName: []byte(name), User: user(), TargetRevision: []byte(target), Message: []byte(message), Timestamp: at(),
		})
		return resp.GetTag(), err
	}
	tag, err := create(repo, "light", objects.Commits[0], "")
	if err != nil || tag.GetId() != objects.Commits[0] || tag.GetTargetCommit().GetId() != objects.Commits[0] {
		t.Errorf("without message: got %v, %v", tag, err)
	}
	s.want(t, "without message", repo, "refs/tags/light", objects.Commits[0])
	tag, err = create(repo, "v1", objects.Commits[1], "first\n")
	if err != nil || tag.GetId() == objects.Commits[1] || tag.GetTargetCommit().GetId() != objects.Commits[1] {
		t.Errorf("with message: got %v, %v", tag, err)
	}
	s.want(t, "with message", repo, "refs/tags/v1", tag.GetId())
	same, err := create(other, "v1", objects.Commits[1], "first\n")
	if err != nil || same.GetId() != tag.GetId() {
		t.Errorf("on another storage: got %v, %v, want the id %q", same, err, tag.GetId())
	}
	_, err = create(repo, "v1", objects.Commits[2], "")
	wantCode(t, "existing", err, codes.AlreadyExists)
	_, err = create(repo, "v2", "absent", "")
	wantCode(t, "of nothing", err, codes.FailedPrecondition)
	_, err = create(repo, "", objects.Commits[0], "")
	wantCode(t, "without name", err, codes.InvalidArgument)
	remove := func(name string) error {
		_, err := s.edits.UserDeleteTag(s.ctx, &gitalypb.UserDeleteTagRequest{Repository: repo, TagName: []byte(name), User: user()})
		return err
	}
	wantCode(t, "delete", remove("v1"), codes.OK)
	s.want(t, "delete", repo, "refs/tags/v1", "")
	wantCode(t, "delete again", remove("v1"), codes.FailedPrecondition)
}

// merges: without a conflict, with one, and forward.
func (s *suite) merges(t *testing.T) {
	repo, other := s.repository("a.git"), named(s.Other, "a.git")
	var main, side, clash string
	for _, repo := range []*gitalypb.Repository{repo, other} {
		s.seeded(t, repo, nil)
		base := s.commit(t, repo, "main", "", "base", "base")
		side = s.commit(t, repo, "side", base, "side", "side")
		clash = s.commit(t, repo, "clash", base, "main", "otherwise")
		main = s.commit(t, repo, "main", base, "main", "main")
	}
	merge := func(repo *gitalypb.Repository, commit string, apply bool) (string, error) {
		stream, err := s.edits.UserMergeBranch(s.ctx)
		if err != nil {
			return "", err
		}
		err = stream.Send(&gitalypb.UserMergeBranchRequest{
			Repository: repo, User: user(), CommitId: commit, Branch: []byte("main"), Message: []byte("merge"), Timestamp: at(),
		})
		if err != nil {
			return "", err
		}
		resp, err := stream.Recv()
		if err != nil {
			return "", err
		}
		s.want(t, "before it is applied", repo, "refs/heads/main", main)
		if err := stream.Send(&gitalypb.UserMergeBranchRequest{Apply: apply}); err != nil {
			return "", err
		}
		update, err := stream.Recv()
		if err == nil && update.GetBranchUpdate().GetCommitId() != resp.GetCommitId() {
			t.Errorf("got %v after the commit %q", update, resp.GetCommitId())
		}
		return resp.GetCommitId(), errors.Join(err, drain(stream, nil))
	}
	_, err := merge(repo, clash, true)
	wantCode(t, "conflict", err, codes.FailedPrecondition)
	_, err = merge(repo, side, false)
	wantCode(t, "not applied", err, codes.FailedPrecondition)
	s.want(t, "not merged", repo, "refs/heads/main", main)
	commit, err := merge(repo, side, true)
	wantCode(t, "merge", err, codes.OK)
	s.want(t, "merged", repo, "refs/heads/main", commit)
	same, err := merge(other, side, true)
	if err != nil || same != commit {
		t.Errorf("on another storage: got %q, %v, want %q", same, err, commit)
	}
	forward := func(branch, to string) error {
		_, err := s.edits.UserFFBranch(s.ctx, &gitalypb.UserFFBranchRequest{Repository: repo, User: user(), Branch: []byte(branch), CommitId: to})
		return err
	}
	wantCode(t, "forward", forward("side", commit), codes.OK)
	s.want(t, "forward", repo, "refs/heads/side", commit)
	wantCode(t, "not forward", forward("clash", commit), codes.FailedPrecondition)
	wantCode(t, "absent branch", forward("absent", commit), codes.NotFound)
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
		_, err := s.refs.DeleteRefs(s.ctx, req)
		return err
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
