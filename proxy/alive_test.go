package proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/test/gitaly"
)

// killingFixture has storages on real git that kill the git of a cancelled call, as
// Gitaly does since 18: whatever it has locked stays locked.
type killingFixture struct {
	*fixture
	dirs map[string]string
}

func newKillingFixture(t *testing.T) *killingFixture {
	t.Helper()
	k := &killingFixture{dirs: make(map[string]string)}
	k.fixture = newVotingFixture(t, func(t *testing.T, name string) *backend {
		t.Helper()
		k.dirs[name] = t.TempDir()
		server, err := gitaly.New(gitaly.Config{
			Storages: map[string]string{name: k.dirs[name]}, Token: storageToken, Grace: -1, Faults: []gitaly.Fault{{Cancel: "kill"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		return &backend{serve: server.Run}
	})
	k.create("a.git")
	if err := k.commit(t.Context(), "main", "first"); err != nil {
		t.Fatal(err)
	}
	k.closed("a.git")
	return k
}

// commit makes a commit on a branch.
func (k *killingFixture) commit(ctx context.Context, branch, content string) error {
	return k.commitTo(ctx, "a.git", branch, content)
}

// commitTo makes a commit on a branch of any repository.
func (k *killingFixture) commitTo(ctx context.Context, path, branch, content string) error {
	stream, err := gitalypb.NewOperationServiceClient(k.conn).UserCommitFiles(ctx)
	if err != nil {
		return err
	}
	for _, r := range []*gitalypb.UserCommitFilesRequest{
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repository(path), BranchName: []byte(branch), CommitMessage: []byte(content),
			User: &gitalypb.User{Name: []byte("a"), Email: []byte("a@example.com"), GlId: "user-1"},
		}}},
		{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Action{Action: &gitalypb.UserCommitFilesAction{
			UserCommitFilesActionPayload: &gitalypb.UserCommitFilesAction_Header{Header: &gitalypb.UserCommitFilesActionHeader{
				Action: gitalypb.UserCommitFilesActionHeader_CREATE, FilePath: []byte(branch + content),
			}},
		}}},
	} {
		if err := stream.Send(r); err != nil {
			break // CloseAndRecv says why
		}
	}
	_, err = stream.CloseAndRecv()
	return err
}

// slow has one storage vote late.
func (k *killingFixture) slow(name, vote string) {
	k.t.Helper()
	var faults []gitaly.Fault
	if vote != "" {
		faults = append(faults, gitaly.Fault{Vote: vote})
	}
	if err := gitaly.WriteFaults(k.dirs[name], faults...); err != nil {
		k.t.Fatal(err)
	}
}

// locks are the lock files in the replicas.
func (k *killingFixture) locks() (found []string) {
	k.t.Helper()
	for name, dir := range k.dirs {
		err := filepath.WalkDir(filepath.Join(dir, "a.git"), func(path string, _ fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) { // it has just gone
				return nil
			}
			if strings.HasSuffix(path, ".lock") {
				found = append(found, name+": "+filepath.Base(path))
			}
			return err
		})
		if err != nil {
			k.t.Fatal(err)
		}
	}
	slices.Sort(found)
	return found
}

// waiting waits until so many storages have locked what they change, and so vote.
func (k *killingFixture) waiting(n int) {
	k.t.Helper()
	k.eventually(func() error {
		if locks := k.locks(); len(locks) < n {
			return fmt.Errorf("locked: %v", locks)
		}
		return nil
	})
}

// TestVote_branchOfALivingStorageIsNotCancelled ends a write in every way in which
// it can end before its storages have: each of them hears that nothing is to be
// done, and leaves no lock behind.
func TestVote_branchOfALivingStorageIsNotCancelled(t *testing.T) {
	for _, tc := range []struct {
		name string
		slow string // votes late
		by   string
		do   func(k *killingFixture, cancel context.CancelFunc)
		code codes.Code
	}{
		{"the client goes", "gitaly-1", "late=6s", func(k *killingFixture, cancel context.CancelFunc) {
			k.waiting(3)
			cancel()
		}, codes.Canceled},
		{"the deadline passes", "gitaly-1", "late=6s", func(*killingFixture, context.CancelFunc) {}, codes.DeadlineExceeded},
		{"the grace is over", "gitaly-3", "late=2s", func(*killingFixture, context.CancelFunc) {}, codes.OK},
		{"the primary is fenced", "gitaly-1", "late=6s", func(k *killingFixture, _ context.CancelFunc) {
			k.waiting(3)
			k.fence("gitaly-1")
		}, codes.OK}, // the successor has it
		{"a secondary is fenced", "gitaly-1", "late=6s", func(k *killingFixture, _ context.CancelFunc) {
			k.waiting(3)
			k.fence("gitaly-2")
		}, codes.OK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			k := newKillingFixture(t)
			k.server.cfg.VoteTimeout = time.Second
			k.slow(tc.slow, tc.by)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.code == codes.DeadlineExceeded {
				ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
			}
			done := make(chan error, 1)
			go func() { done <- k.writeRef(ctx, "a.git", "refs/heads/topic", "refs/heads/main") }()
			tc.do(k, cancel)
			if err := <-done; status.Code(err) != tc.code {
				t.Errorf("ended with %v, want %v", err, tc.code)
			}
			k.eventually(func() error {
				if locks := k.locks(); len(locks) > 0 {
					return fmt.Errorf("locks are left: %v", locks)
				}
				return nil
			})
		})
	}
}

// fence has a storage taken away.
func (k *killingFixture) fence(name string) {
	k.t.Helper()
	epoch := func() uint64 { return k.node.View().VirtualStorage("default").Epoch }
	k.node.must(k.t, state.Command{Fence: &state.Fence{VirtualStorage: "default", Storages: []string{name}, Why: state.WhyDead, Epoch: epoch()}})
	k.node.must(k.t, state.Command{Admit: &state.Admit{VirtualStorage: "default", Epoch: epoch(),
		Storages: []state.Admission{{Storage: name, As: state.Out, Why: state.WhyDead}}}})
}

// TestVote_partOfAStreamIsNotTakenForAll has a client go in the middle of its
// requests: the storages hear that no more come, and write nothing.
func TestVote_partOfAStreamIsNotTakenForAll(t *testing.T) {
	k := newKillingFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := gitalypb.NewOperationServiceClient(k.conn).UserCommitFiles(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&gitalypb.UserCommitFilesRequest{UserCommitFilesRequestPayload: &gitalypb.UserCommitFilesRequest_Header{
		Header: &gitalypb.UserCommitFilesRequestHeader{
			Repository: repository("a.git"), BranchName: []byte("half"), CommitMessage: []byte("half"), StartBranchName: []byte("main"),
			User: &gitalypb.User{Name: []byte("a"), Email: []byte("a@example.com"), GlId: "user-1"},
		},
	}}); err != nil {
		t.Fatal(err)
	}
	k.eventually(func() error {
		if n := k.outstanding(); n < len(all) {
			return fmt.Errorf("the write has arrived at %d storages", n)
		}
		return nil
	})
	cancel()
	k.eventually(func() error {
		if n := k.outstanding(); n > 0 {
			return fmt.Errorf("%d calls are under way", n)
		}
		return nil
	})
	if on := k.has("refs/heads/half"); len(on) > 0 || len(k.locks()) > 0 {
		t.Errorf("written on %v, locks %v", on, k.locks())
	}
	k.closed("a.git")
	if e := k.entry(); e != nil {
		t.Errorf("entry: %+v", e)
	}
}

// outstanding is how many calls are under way at all storages.
func (k *killingFixture) outstanding() (n int) {
	for _, name := range all {
		conn, err := k.server.storages.Conn("default", name)
		if err == nil {
			n += int(conn.Outstanding())
		}
	}
	return n
}
