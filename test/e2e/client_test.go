package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"praefect/test/workload"
)

// client speaks to the repositories of one virtual storage as GitLab does.
type client struct {
	conn           *grpc.ClientConn
	virtualStorage string
}

func (c client) repository(path string) *gitalypb.Repository {
	return &gitalypb.Repository{StorageName: c.virtualStorage, RelativePath: path}
}

// connected waits until the connection has followed a restart of the server:
// from then on a request that fails was refused by nobody else.
func (c client) connected(ctx context.Context) error { return c.api().Connected(ctx) }

// api is the same client of package workload.
func (c client) api() workload.Client {
	return workload.Client{Conn: c.conn, VirtualStorage: c.virtualStorage}
}

func (c client) create(ctx context.Context, path string) error { return c.api().Create(ctx, path) }
func (c client) remove(ctx context.Context, path string) error { return c.api().Remove(ctx, path) }

// commit adds a commit to a branch, which is made if need be, and returns its id.
func (c client) commit(ctx context.Context, path, branch, subject string) (id string, err error) {
	return c.commitSlowly(ctx, path, branch, subject, 0)
}

// commitSlowly is a commit of a client who thinks for a while in the middle.
func (c client) commitSlowly(ctx context.Context, path, branch, subject string, think time.Duration) (id string, err error) {
	call, err := c.beginCommit(ctx, path, branch, subject)
	if err == nil {
		pass(ctx, think)
		id, err = call.end()
	}
	if err != nil {
		return "", fmt.Errorf("commit %q to %s of %q: %w", subject, branch, path, err)
	}
	return id, nil
}

// commitCall is a commit of which the first message was sent.
type commitCall struct {
	stream gitalypb.OperationService_UserCommitFilesClient
	file   string
}

func (c client) beginCommit(ctx context.Context, path, branch, subject string) (*commitCall, error) {
	stream, err := gitalypb.NewOperationServiceClient(c.conn).UserCommitFiles(ctx)
	if err != nil {
		return nil, err
	}
	header := &gitalypb.UserCommitFilesRequestHeader{
		Repository:    c.repository(path),
		User:          &gitalypb.User{GlId: "user-1", GlUsername: "author", Name: []byte("Author"), Email: []byte("author@example.com")},
		BranchName:    []byte(branch),
		CommitMessage: []byte(subject),
		Timestamp:     timestamppb.Now(), // GitLab sends it, so that the commit is the same on every storage
	}
	call := &commitCall{stream: stream, file: subject + ".txt"}
	return call, call.send(&gitalypb.UserCommitFilesRequest{
		UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: header},
	})
}

// end sends the rest and returns the id of the commit.
func (c *commitCall) end() (id string, err error) {
	create := &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(c.file)}
	for _, action := range []*gitalypb.UserCommitFilesAction{
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{Header: create}},
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte(c.file)}},
	} {
		if err := c.send(&gitalypb.UserCommitFilesRequest{
			UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: action},
		}); err != nil {
			return "", err
		}
	}
	answer, err := c.stream.CloseAndRecv()
	if err != nil {
		return "", err
	}
	if complaint := answer.GetIndexError() + answer.GetPreReceiveError(); complaint != "" {
		return "", errors.New(complaint)
	}
	return answer.GetBranchUpdate().GetCommitId(), nil
}

// send leaves it to the answer to tell why a stream has ended.
func (c *commitCall) send(message *gitalypb.UserCommitFilesRequest) error {
	if err := c.stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// point sets a reference to a commit, whatever it was before.
func (c client) point(ctx context.Context, path, ref, id string) error {
	return c.api().Point(ctx, path, ref, id, "")
}

// find returns the commit that a revision leads to, "" if there is none.
func (c client) find(ctx context.Context, path, revision string) (id string, err error) {
	return c.api().Find(ctx, path, revision)
}
