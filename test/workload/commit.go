package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Commit adds a commit with a file of its own to a branch, which is made if need
// be, and returns its id. An error may mean that it was made all the same.
func (c Client) Commit(ctx context.Context, path, branch, subject string) (id string, err error) {
	return c.CommitSlowly(ctx, path, branch, subject, 0)
}

// CommitSlowly is a Commit of a client that waits for a while in the middle.
func (c Client) CommitSlowly(ctx context.Context, path, branch, subject string, wait time.Duration) (id string, err error) {
	call, err := c.BeginCommit(ctx, path, branch, subject)
	if err == nil {
		Wait(ctx, wait)
		id, err = call.End()
	}
	if err != nil {
		return "", fmt.Errorf("commit %q to %s of %q: %w", subject, branch, path, err)
	}
	return id, nil
}

// CommitCall is a commit of which the first message was sent.
type CommitCall struct {
	stream  gitalypb.OperationService_UserCommitFilesClient
	subject string
}

// BeginCommit sends the first message of a Commit.
func (c Client) BeginCommit(ctx context.Context, path, branch, subject string) (*CommitCall, error) {
	stream, err := gitalypb.NewOperationServiceClient(c.Conn).UserCommitFiles(ctx)
	if err != nil {
		return nil, err
	}
	call := &CommitCall{stream, subject}
	return call, call.send(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
		Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: c.Repository(path),
			User:       &gitalypb.User{GlId: "user-1", GlUsername: "author", Name: []byte("Author"), Email: []byte("author@example.com")},
			BranchName: []byte(branch), CommitMessage: []byte(subject),
			Timestamp: timestamppb.Now(), // GitLab sends it, so that the commit is the same on every storage
		},
	}})
}

// End sends the rest, and returns the id of the commit.
func (c *CommitCall) End() (id string, err error) {
	for _, action := range []*gitalypb.UserCommitFilesAction{
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
			Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(c.subject + ".txt")},
		}},
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte(c.subject)}},
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
func (c *CommitCall) send(message *gitalypb.UserCommitFilesRequest) error {
	if err := c.stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}
