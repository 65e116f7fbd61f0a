package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// TestVote_deletionsOfOneRepository deletes references of one repository, several at a
// time: each deletion locks packed-refs at all storages. None fails, and each is on all,
// through however many instances they come.
func TestVote_deletionsOfOneRepository(t *testing.T) {
	for _, instances := range []int{1, 3} {
		t.Run(fmt.Sprint(instances, " instances"), func(t *testing.T) { deleteAtOnce(t, instances) })
	}
}

func deleteAtOnce(t *testing.T, instances int) {
	const deletions, atOnce = 40, 8
	k := newKillingFixture(t)
	through := []gitalypb.RefServiceClient{gitalypb.NewRefServiceClient(k.conn)}
	fixtures := []*fixture{k.fixture}
	for len(fixtures) < instances {
		w := newVotingFixture(t, k.beside)
		fixtures = append(fixtures, w)
		through = append(through, gitalypb.NewRefServiceClient(w.conn))
	}
	refs := through[0]
	stream, err := refs.UpdateReferences(t.Context())
	must.Succeed(t, err)
	request := &gitalypb.UpdateReferencesRequest{Repository: repository("a.git")}
	head, err := gitalypb.NewCommitServiceClient(k.conn).FindCommit(t.Context(), &gitalypb.FindCommitRequest{
		Repository: repository("a.git"), Revision: []byte("refs/heads/main"),
	})
	must.Succeed(t, err)
	for n := range deletions {
		request.Updates = append(request.Updates, &gitalypb.UpdateReferencesRequest_Update{
			Reference: fmt.Appendf(nil, "refs/pipelines/%d", n), NewObjectId: []byte(head.GetCommit().GetId()),
		})
	}
	must.Succeed(t, stream.Send(request))
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	next := make(chan int)
	var clients sync.WaitGroup
	start := time.Now()
	for range atOnce {
		clients.Go(func() {
			for n := range next {
				_, err := through[n%instances].DeleteRefs(t.Context(), &gitalypb.DeleteRefsRequest{
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
	for n, w := range fixtures {
		w.closed("a.git")
		if e, locks := w.entry(), k.locks(); e != nil || locks != nil || len(w.repaired()) > 0 {
			t.Errorf("at instance %d: entry %+v, locks %v, repaired %v", n, e, locks, w.repaired())
		}
	}
	for n := range deletions {
		if on := k.has(fmt.Sprintf("refs/pipelines/%d", n)); slices.ContainsFunc(all, func(s string) bool { return slices.Contains(on, s) }) {
			t.Errorf("reference %d is left on %v", n, on)
		}
	}
}

// beside makes the storages of another instance: they are the same ones.
func (k *killingFixture) beside(_ *testing.T, name string) *backend {
	to := k.storages[name].address
	return &backend{serve: func(ctx context.Context, lis net.Listener) error {
		var conns sync.WaitGroup
		defer conns.Wait()
		defer context.AfterFunc(ctx, func() { _ = lis.Close() })()
		for {
			conn, err := lis.Accept()
			if err != nil {
				return nil // it was closed
			}
			conns.Go(func() { pass(ctx, conn, to) })
		}
	}}
}

// pass copies what comes over a connection to an address, and back.
func pass(ctx context.Context, conn net.Conn, to string) {
	defer conn.Close()
	var dialer net.Dialer
	other, err := dialer.DialContext(ctx, "tcp", to)
	if err != nil {
		return // the proxy sees the connection close
	}
	defer other.Close()
	defer context.AfterFunc(ctx, func() {
		_ = conn.Close()
		_ = other.Close()
	})()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(other, conn)
		_ = other.Close()
	}()
	_, _ = io.Copy(conn, other)
	_ = conn.Close()
	<-done
}
