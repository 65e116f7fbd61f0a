package proxy

import (
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// slowCommit begins a commit whose client names no deadline, and sends the next message of
// it after each pause.
func (k *killingFixture) slowCommit(file string, pauses ...time.Duration) error {
	k.t.Helper()
	stream, err := gitalypb.NewOperationServiceClient(k.conn).UserCommitFiles(k.t.Context())
	if err != nil {
		return err
	}
	action := func(a *gitalypb.UserCommitFilesAction) *gitalypb.UserCommitFilesRequest {
		return &gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: a}}
	}
	messages := []*gitalypb.UserCommitFilesRequest{
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repository("a.git"), BranchName: []byte("slow"), CommitMessage: []byte(file),
			User: &gitalypb.User{Name: []byte("a"), Email: []byte("a@example.com"), GlId: "user-1"},
		}}},
		action(&gitalypb.UserCommitFilesAction{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
			Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(file)},
		}}),
	}
	for len(messages) <= len(pauses) {
		messages = append(messages, action(&gitalypb.UserCommitFilesAction{
			UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte("more")},
		}))
	}
	for i, message := range messages {
		if err := stream.Send(message); err != nil {
			break // CloseAndRecv says why
		}
		if i < len(pauses) {
			select {
			case <-time.After(pauses[i]):
			case <-stream.Context().Done():
			}
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// A write that votes, and whose client names no deadline, takes as long as its client
// sends; one of which nothing moves is ended.
func TestVote_endsForLackOfProgress(t *testing.T) {
	t.Run("moves", func(t *testing.T) {
		t.Parallel()
		k := newKillingFixture(t)
		const bound = 8 * time.Second
		k.server.cfg.WriteTimeout = bound
		began := time.Now()
		if err := k.slowCommit("moves", bound/2, bound/2, bound/2); err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
		k.closed("a.git")
		if on := k.has("refs/heads/slow"); len(on) != 3 {
			t.Errorf("written on %v", on)
		}
	})
	t.Run("stalls", func(t *testing.T) {
		t.Parallel()
		k := newKillingFixture(t)
		k.server.cfg.WriteTimeout = time.Second
		if err := k.slowCommit("stalls", 5*time.Second); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
		k.closed("a.git")
		if on := k.has("refs/heads/slow"); len(on) > 0 || k.entry() != nil {
			t.Errorf("written on %v, entry %+v", on, k.entry())
		}
	})
}
