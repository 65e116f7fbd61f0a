package proxy

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
)

// TestVote_deletionsOfOneRepository deletes references of one repository, several at a
// time: each deletion locks packed-refs at all storages. None fails, and each is on all.
func TestVote_deletionsOfOneRepository(t *testing.T) {
	const deletions, atOnce = 40, 8
	k := newKillingWorld(t)
	refs := gitalypb.NewRefServiceClient(k.conn)
	stream, err := refs.UpdateReferences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	request := &gitalypb.UpdateReferencesRequest{Repository: repository("a.git")}
	head, err := gitalypb.NewCommitServiceClient(k.conn).FindCommit(t.Context(), &gitalypb.FindCommitRequest{
		Repository: repository("a.git"), Revision: []byte("refs/heads/main"),
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range deletions {
		request.Updates = append(request.Updates, &gitalypb.UpdateReferencesRequest_Update{
			Reference: fmt.Appendf(nil, "refs/pipelines/%d", n), NewObjectId: []byte(head.GetCommit().GetId()),
		})
	}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	next := make(chan int)
	var clients sync.WaitGroup
	start := time.Now()
	for range atOnce {
		clients.Go(func() {
			for n := range next {
				_, err := refs.DeleteRefs(t.Context(), &gitalypb.DeleteRefsRequest{
					Repository: repository("a.git"), Refs: [][]byte{fmt.Appendf(nil, "refs/pipelines/%d", n)},
				})
				if err != nil {
					t.Errorf("deletion %d: %v", n, err)
				}
			}
		})
	}
	for n := range deletions {
		next <- n
	}
	close(next)
	clients.Wait()
	t.Logf("%d deletions in %v", deletions, time.Since(start))
	k.closed("a.git")
	if e, locks := k.entry(), k.locks(); e != nil || locks != nil || len(k.repaired()) > 0 {
		t.Errorf("entry %+v, locks %v, repaired %v", e, locks, k.repaired())
	}
	for n := range deletions {
		if on := k.has(fmt.Sprintf("refs/pipelines/%d", n)); slices.ContainsFunc(all, func(s string) bool { return slices.Contains(on, s) }) {
			t.Errorf("reference %d is left on %v", n, on)
		}
	}
}
