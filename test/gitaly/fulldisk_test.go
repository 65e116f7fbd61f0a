package gitaly_test

import (
	"context"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// A full disk fails calls before their first vote, but for a push: git tells the client
// itself, and the call ends with its last vote.
func TestServer_fullDisk(t *testing.T) {
	h := newHooked(t, nil)
	repo := h.repository("two")
	dir, commit := work(t, 1<<10)
	must.Succeed(t, gitaly.WriteFaults(h.dir["two"], gitaly.Fault{Disk: "full"}))
	in := func(id uint64) context.Context { return gitalytest.InTransaction(t, t.Context(), id, "two", true) }

	answer, err := h.voting.push(in(1), repo, pushOf(t, dir, "refs/heads/main", zero, commit))
	if err != nil || !strings.Contains(answer, "ng refs/heads/main unpacker error") {
		t.Errorf("push: got %q, %v", answer, err)
	}
	if votes := h.Votes(1, "two"); len(votes) != 1 || votes[0].Phase != gitalypb.VoteTransactionRequest_COMMITTED_PHASE {
		t.Errorf("push: got votes %v, want the last one alone", votes)
	}
	for id, call := range map[uint64]func() error{
		2: func() error {
			_, err := h.voting.repos.WriteRef(in(2), &gitalypb.WriteRefRequest{Repository: repo, Ref: []byte("refs/heads/main"), Revision: []byte(h.objects.Commits[0])})
			return err
		},
		3: func() error {
			_, err := h.voting.repos.RemoveRepository(in(3), &gitalypb.RemoveRepositoryRequest{Repository: repo})
			return err
		},
		4: func() error {
			_, err := h.voting.repos.CreateRepository(in(4), &gitalypb.CreateRepositoryRequest{Repository: &gitalypb.Repository{StorageName: "two", RelativePath: "new.git"}})
			return err
		},
	} {
		if err := call(); status.Code(err) != codes.Internal || len(h.Votes(id, "two")) > 0 {
			t.Errorf("call %d: got %v and votes %v", id, err, h.Votes(id, "two"))
		}
	}
	if h.main(t, "two") != "" {
		t.Error("the reference was written")
	}
	checkNoLocks(t, h.path(repo))
	must.Succeed(t, gitaly.WriteFaults(h.dir["two"]))
	answer, err = h.voting.push(in(5), repo, pushOf(t, dir, "refs/heads/main", zero, commit))
	if err != nil || !strings.Contains(answer, "ok refs/heads/main") {
		t.Errorf("push onto a disk with room: got %q, %v", answer, err)
	}
}
