package partition

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/proxy/admin"
	"praefect/test/cluster"
	"praefect/test/workload"
)

func killPrimary(t *testing.T, w *harness, l *load) {
	primary := w.primary(t)
	must(t, primary.Kill())
	w.succeeded(t, primary, w.c.Instances...)
	l.goesOn(t, w.c.Instances...)
	must(t, primary.Start())
}

// stopPrimary lets it be silent until it is replaced.
func stopPrimary(t *testing.T, w *harness, l *load) {
	primary := w.primary(t)
	must(t, primary.Pause())
	w.succeeded(t, primary, w.c.Instances...)
	l.goesOn(t, w.c.Instances...)
	must(t, primary.Resume())
}

func killLeader(t *testing.T, w *harness, l *load) {
	i := w.leader(t)
	must(t, i.Kill())
	w.replaced(t, i)
	l.goesOn(t, w.others(i)...)
	must(t, i.Start())
}

// replaced waits until one of the others says that it leads. None is asked for more
// than it knows by itself: the old leader may not answer.
func (w *harness) replaced(t *testing.T, old *cluster.Instance) {
	t.Helper()
	began := time.Now()
	w.eventually(t, "there is another leader", func(ctx context.Context) error {
		for _, i := range w.others(old) {
			metrics, err := i.Metrics(ctx)
			if err != nil {
				return err
			}
			if metrics["praefect_leader"] == 1 {
				return nil
			}
		}
		return errors.New("nobody else leads")
	})
	t.Logf("another instance led after %v", time.Since(began).Round(time.Millisecond))
}

// sleepThroughFailover stops the leader's instance in the middle of a write; when it
// goes on, its connection to the storage is as it was, but another storage has
// become the primary.
func sleepThroughFailover(t *testing.T, w *harness, l *load) {
	i, primary := w.leader(t), w.primary(t)
	others := w.others(i)
	path, subject := l.spare()
	// A deadline that is not why it fails: longer than all this takes.
	ctx, cancel := context.WithTimeout(t.Context(), 3*operationLimit)
	defer cancel()
	call := beginCommit(ctx, t, i, path, subject)
	w.eventually(t, "the write is in the ledger", func(ctx context.Context) error {
		answer, err := others[0].Admin().Dataloss(ctx, admin.DatalossRequest{VirtualStorage: vs, RelativePath: path})
		if err == nil && len(answer.Repositories) == 0 {
			err = errors.New("it is not")
		}
		return err
	})
	must(t, i.Pause())
	must(t, w.testbed.Part(t.Context(), labels(others), []string{primary.Label()}))
	w.replaced(t, i)
	w.succeeded(t, primary, others...)
	l.goesOn(t, others...)
	must(t, i.Resume())
	if id, err := call.end(subject); err == nil {
		t.Errorf("%s acknowledged the commit %s, begun under a lease that has ended, on a storage that is no primary any more", i.Label(), id)
	} else {
		t.Logf("the write that slept: %v", err)
	}
	w.heal(t)
}

// commitCall is a commit of which the first message was sent.
type commitCall struct {
	stream gitalypb.OperationService_UserCommitFilesClient
}

// beginCommit begins a commit to a spare repository through an instance.
func beginCommit(ctx context.Context, t *testing.T, i *cluster.Instance, path, subject string) commitCall {
	t.Helper()
	client := workload.Client{Conn: i.Conn(), VirtualStorage: vs}
	stream, err := gitalypb.NewOperationServiceClient(client.Conn).UserCommitFiles(ctx)
	must(t, err)
	call := commitCall{stream}
	must(t, call.send(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
		Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: client.Repository(path), BranchName: []byte("spare"), CommitMessage: []byte(subject),
			User: &gitalypb.User{GlId: "user-1", GlUsername: "author", Name: []byte("Author"), Email: []byte("author@example.com")},
		},
	}}))
	return call
}

// end sends the rest and returns the id of the commit.
func (c commitCall) end(subject string) (id string, err error) {
	for _, action := range []*gitalypb.UserCommitFilesAction{
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{
			Header: &gitalypb.UserCommitFilesActionHeader{Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(subject)},
		}},
		{UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Content{Content: []byte(subject)}},
	} {
		if err := c.send(&gitalypb.UserCommitFilesRequest{
			UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: action},
		}); err != nil {
			return "", err
		}
	}
	answer, err := c.stream.CloseAndRecv()
	return answer.GetBranchUpdate().GetCommitId(), err
}

// send leaves it to the answer to tell why a stream has ended.
func (c commitCall) send(message *gitalypb.UserCommitFilesRequest) error {
	if err := c.stream.Send(message); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// restartAll restarts one instance after the other, as an upgrade does: no request of
// a client of the balancer fails.
func restartAll(t *testing.T, w *harness, l *load) {
	for _, i := range w.c.Instances {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := i.Terminate(ctx)
		if err == nil {
			err = i.Start()
		}
		if err == nil {
			err = i.WaitReady(ctx)
		}
		cancel()
		must(t, err)
	}
	l.noneFailed(t, balanced)
}
