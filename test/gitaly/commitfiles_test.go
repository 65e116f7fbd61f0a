package gitaly_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/must"
)

type actionHeader = gitalypb.UserCommitFilesActionHeader

// action is one action with its content.
type action struct {
	header  *actionHeader
	content string
}

func create(path, content string) action {
	return action{&actionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(path)}, content}
}

// edit is a request for a commit on main by the test's user.
func edit(repo *gitalypb.Repository) *gitalypb.UserCommitFilesRequestHeader {
	return &gitalypb.UserCommitFilesRequestHeader{
		Repository:    repo,
		User:          &gitalypb.User{GlId: "user-1", Name: []byte("U"), Email: []byte("u@example.org"), GlUsername: "u"},
		BranchName:    []byte("main"),
		CommitMessage: []byte("edit\n\nSigned-off-by: U <u@example.org>\n"),
		Timestamp:     timestamppb.New(time.Unix(1_700_000_000, 0)),
	}
}

// commit sends a request and returns the answer. Content goes in small chunks.
func (c *clients) commit(t *testing.T, ctx context.Context, header *gitalypb.UserCommitFilesRequestHeader, actions ...action) (*gitalypb.OperationBranchUpdate, error) {
	t.Helper()
	stream, err := c.edits.UserCommitFiles(ctx)
	must.Succeed(t, err)
	requests := []*gitalypb.UserCommitFilesRequest{{
		UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: header},
	}}
	add := func(a *gitalypb.UserCommitFilesAction) {
		requests = append(requests, &gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: a}})
	}
	for _, a := range actions {
		if a.header != nil {
			add(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{Header: a.header}})
		}
		for chunk := range chunks([]byte(a.content), 7) {
			add(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: chunk}})
		}
	}
	for _, req := range requests {
		if err := stream.Send(req); errors.Is(err, io.EOF) {
			break // the status says why
		} else if err != nil {
			t.Fatal(err)
		}
	}
	resp, err := stream.CloseAndRecv()
	return resp.GetBranchUpdate(), err
}

// files returns the content of every file of a revision, with its mode in front.
func (f *fixture) files(t *testing.T, repo *gitalypb.Repository, revision string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	for line := range strings.Lines(git(t, f.path(repo), nil, "ls-tree", "-r", revision)) {
		meta, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
		fields := strings.Fields(meta)
		found[name] = fields[0] + " " + git(t, f.path(repo), nil, "cat-file", "blob", fields[2])
	}
	return found
}

func TestServer_commitsFiles(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	first, err := f.commit(t, t.Context(), edit(repo), create("a", "one"), create("dir/b", "two words"), create("dir/c", ""))
	if err != nil || !first.GetRepoCreated() || !first.GetBranchCreated() {
		t.Fatalf("got %v, %v, want a first branch", first, err)
	}
	type header = actionHeader
	encoded := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("binary "), 100))
	second, err := f.commit(t, t.Context(), edit(repo),
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_UPDATE, FilePath: []byte("a")}, "new"},
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_MOVE, FilePath: []byte("moved"), PreviousPath: []byte("dir/b"), InferContent: true}, ""},
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_CREATE_DIR, FilePath: []byte("empty")}, ""},
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_CHMOD, FilePath: []byte("a"), ExecuteFilemode: true}, ""},
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_DELETE, FilePath: []byte("dir/c")}, ""},
		action{&header{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte("run"), Base64Content: true, ExecuteFilemode: true}, encoded},
	)
	if err != nil || second.GetRepoCreated() || second.GetBranchCreated() {
		t.Fatalf("got %v, %v, want a later commit", second, err)
	}
	want := map[string]string{
		"a": "100755 new", "moved": "100644 two words", "empty/.gitkeep": "100644 ",
		"run": "100755 " + strings.TrimSpace(strings.Repeat("binary ", 100)),
	}
	if diff := cmp.Diff(want, f.files(t, repo, "main")); diff != "" {
		t.Errorf("files of main (-want +got):\n%s", diff)
	}

	found, err := f.commits.FindCommit(t.Context(), &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte("refs/heads/main"), Trailers: true})
	must.Succeed(t, err)
	c := found.GetCommit()
	if c.GetId() != second.GetCommitId() || len(c.GetParentIds()) != 1 || c.GetParentIds()[0] != first.GetCommitId() || c.GetTreeId() == "" {
		t.Errorf("got %v, want commit %q after %q", c, second.GetCommitId(), first.GetCommitId())
	}
	if string(c.GetSubject()) != "edit" || string(c.GetBody()) != string(edit(repo).GetCommitMessage()) || c.GetBodySize() != int64(len(c.GetBody())) {
		t.Errorf("got subject %q, body %q", c.GetSubject(), c.GetBody())
	}
	if a := c.GetAuthor(); string(a.GetName()) != "U" || string(a.GetEmail()) != "u@example.org" || a.GetDate().GetSeconds() != 1_700_000_000 || string(a.GetTimezone()) != "+0000" {
		t.Errorf("got author %v", a)
	}
	if tr := c.GetTrailers(); len(tr) != 1 || string(tr[0].GetKey()) != "Signed-off-by" || string(tr[0].GetValue()) != "U <u@example.org>" {
		t.Errorf("got trailers %v", tr)
	}
	missing, err := f.commits.FindCommit(t.Context(), &gitalypb.FindCommitRequest{Repository: repo, Revision: []byte("absent")})
	if err != nil || missing.GetCommit() != nil {
		t.Errorf("absent revision: got %v, %v, want no commit", missing, err)
	}
}

func TestServer_commitParents(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	main, err := f.commit(t, t.Context(), edit(repo), create("a", "1"))
	must.Succeed(t, err)
	topic := edit(repo)
	topic.BranchName, topic.StartBranchName = []byte("topic"), []byte("main")
	made, err := f.commit(t, t.Context(), topic, create("b", "2"))
	if err != nil || !made.GetBranchCreated() {
		t.Fatalf("from a start branch: got %v, %v", made, err)
	}
	if got := f.files(t, repo, "topic"); len(got) != 2 {
		t.Errorf("got files %v, want those of main too", got)
	}
	if _, err := f.commit(t, t.Context(), topic, create("b", "3")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("from a start branch that is not the branch: got %v, want FailedPrecondition", err)
	}
	topic.Force = true
	if _, err := f.commit(t, t.Context(), topic, create("b", "3")); err != nil {
		t.Errorf("the same with force: %v", err)
	}
	moved := edit(repo)
	moved.ExpectedOldOid = made.GetCommitId()
	if _, err := f.commit(t, t.Context(), moved, create("c", "4")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("from an unexpected value: got %v, want FailedPrecondition", err)
	}
	moved.ExpectedOldOid, moved.StartSha = main.GetCommitId(), main.GetCommitId()
	if _, err := f.commit(t, t.Context(), moved, create("c", "4")); err != nil {
		t.Errorf("from the expected value: %v", err)
	}
}

func TestServer_commitFaults(t *testing.T) {
	f := start(t)
	repo := f.create(t, "a.git")
	if _, err := f.commit(t, t.Context(), edit(repo), create("a", "1"), create("dir/b", "2")); err != nil {
		t.Fatal(err)
	}
	before := f.sum(t, repo)
	path := func(kind gitalypb.UserCommitFilesActionHeader_ActionType, name string) action {
		return action{header: &actionHeader{Action: kind, FilePath: []byte(name), PreviousPath: []byte("absent")}}
	}
	for _, row := range []struct {
		name   string
		action action
		want   codes.Code
	}{
		{"a file that exists", create("a", ""), codes.AlreadyExists},
		{"a file below a file", create("a/b", ""), codes.AlreadyExists},
		{"no path", create("", ""), codes.InvalidArgument},
		{"a path that escapes", create("../a", ""), codes.InvalidArgument},
		{"git's own directory", create("x/.GIT/config", ""), codes.InvalidArgument},
		{"an empty element", create("x//y", ""), codes.InvalidArgument},
		{"update of none", path(gitalypb.UserCommitFilesActionHeader_UPDATE, "absent"), codes.NotFound},
		{"deletion of none", path(gitalypb.UserCommitFilesActionHeader_DELETE, "absent"), codes.NotFound},
		{"mode of none", path(gitalypb.UserCommitFilesActionHeader_CHMOD, "absent"), codes.NotFound},
		{"move of none", path(gitalypb.UserCommitFilesActionHeader_MOVE, "b"), codes.NotFound},
		{"a directory that exists", path(gitalypb.UserCommitFilesActionHeader_CREATE_DIR, "dir"), codes.AlreadyExists},
		{"a directory where a file is", path(gitalypb.UserCommitFilesActionHeader_CREATE_DIR, "a"), codes.AlreadyExists},
		{"no such action", path(99, "a"), codes.InvalidArgument},
		{"content before any action", action{content: "x"}, codes.InvalidArgument},
	} {
		if _, err := f.commit(t, t.Context(), edit(repo), row.action); status.Code(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	for _, row := range []struct {
		name  string
		spoil func(*gitalypb.UserCommitFilesRequestHeader)
		want  codes.Code
	}{
		{"no user", func(h *gitalypb.UserCommitFilesRequestHeader) { h.User = nil }, codes.InvalidArgument},
		{"no name", func(h *gitalypb.UserCommitFilesRequestHeader) { h.User.Name = nil }, codes.InvalidArgument},
		{"no message", func(h *gitalypb.UserCommitFilesRequestHeader) { h.CommitMessage = nil }, codes.InvalidArgument},
		{"no branch", func(h *gitalypb.UserCommitFilesRequestHeader) { h.BranchName = nil }, codes.InvalidArgument},
		{"an option for a branch", func(h *gitalypb.UserCommitFilesRequestHeader) { h.BranchName = []byte("-d") }, codes.InvalidArgument},
		{"no repository", func(h *gitalypb.UserCommitFilesRequestHeader) { h.Repository = nil }, codes.InvalidArgument},
		{"another start repository", func(h *gitalypb.UserCommitFilesRequestHeader) {
			h.StartRepository = &gitalypb.Repository{StorageName: "two", RelativePath: "b.git"}
		}, codes.InvalidArgument},
		{"absent repository", func(h *gitalypb.UserCommitFilesRequestHeader) { h.Repository.RelativePath = "absent.git" }, codes.NotFound},
	} {
		header := edit(&gitalypb.Repository{StorageName: "one", RelativePath: "a.git"})
		row.spoil(header)
		if _, err := f.commit(t, t.Context(), header, create("new", "")); status.Code(err) != row.want {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
	if got := f.sum(t, repo); got != before {
		t.Errorf("got checksum %q, want %q as before", got, before)
	}
}
