package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// TestVote_lockOfGitCostsNoCopy holds packed-refs.lock in replicas for 3 s, as git does
// that packs references, and deletes a reference meanwhile: the write waits, and is on all
// storages.
func TestVote_lockOfGitCostsNoCopy(t *testing.T) {
	const held = 3 * time.Second
	for name, replicas := range map[string][]string{
		"in one secondary":   {"gitaly-3"},
		"in all secondaries": {"gitaly-2", "gitaly-3"},
		"everywhere":         {"gitaly-1", "gitaly-2", "gitaly-3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKillingFixture(t)
			must.Succeed(t, k.writeRef(t.Context(), "a.git", "refs/pipelines/1", "refs/heads/main"))
			for _, replica := range replicas {
				lock := filepath.Join(k.dirs[replica], "a.git", "packed-refs.lock")
				must.Succeed(t, os.WriteFile(lock, nil, 0o600))
				time.AfterFunc(held, func() { _ = os.Remove(lock) }) // a lock that is left is seen below
			}
			start := time.Now()
			_, err := gitalypb.NewRefServiceClient(k.conn).DeleteRefs(t.Context(), &gitalypb.DeleteRefsRequest{
				Repository: repository("a.git"), Refs: [][]byte{[]byte("refs/pipelines/1")},
			})
			took := time.Since(start)
			must.Succeed(t, err)
			if e := k.entry(); e != nil && len(e.Behind) > 0 || took < held {
				t.Errorf("after %v the entry is %+v", took, e)
			}
			k.closed("a.git")
			if e, locks := k.entry(), k.locks(); e != nil || locks != nil || len(k.repaired()) > 0 {
				t.Errorf("entry %+v, locks %v, repaired %v", e, locks, k.repaired())
			}
			for _, storage := range all {
				if slices.Contains(k.has("refs/pipelines/1"), storage) {
					t.Errorf("%s has the reference still", storage)
				}
			}
		})
	}
}
