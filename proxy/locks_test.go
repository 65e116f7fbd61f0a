package proxy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"

	"praefect/test/must"
)

// A lock of git that is held for three seconds at one secondary, or at all of them, costs
// no copy: git waits longer for it, and so does the write.
func TestVote_waitsForLocksOfGit(t *testing.T) {
	for _, locked := range [][]string{{"gitaly-2"}, {"gitaly-2", "gitaly-3"}} {
		t.Run(fmt.Sprint(locked), func(t *testing.T) {
			t.Parallel()
			k := newKillingFixture(t)
			must.Succeed(t, k.commit(t.Context(), "packed", "to be deleted"))
			client := gitalypb.NewRepositoryServiceClient(k.conn)
			if _, err := client.OptimizeRepository(t.Context(), &gitalypb.OptimizeRepositoryRequest{Repository: repository("a.git")}); err != nil {
				t.Fatal(err)
			}
			k.closed("a.git")
			for _, name := range locked {
				lock := filepath.Join(k.dirs[name], "a.git", "packed-refs.lock")
				must.Succeed(t, os.WriteFile(lock, nil, 0o600))
				time.AfterFunc(3*time.Second, func() {
					if err := os.Remove(lock); err != nil {
						t.Error(err)
					}
				})
			}
			answer, err := gitalypb.NewRefServiceClient(k.conn).DeleteRefs(t.Context(), &gitalypb.DeleteRefsRequest{
				Repository: repository("a.git"), Refs: [][]byte{[]byte("refs/heads/packed")},
			})
			if err == nil && answer.GetGitError() != "" {
				err = errors.New(answer.GetGitError())
			}
			must.Succeed(t, err)
			k.closed("a.git")
			if len(locked) == 2 {
				if e := k.entry(); e != nil {
					t.Errorf("entry: %+v", e)
				}
			} else if e := k.entry(); e != nil && len(e.Behind) > 1 {
				t.Errorf("entry: %+v", e)
			}
			if on := k.has("refs/heads/packed"); len(on) > 1 {
				t.Errorf("left on %q", on)
			}
		})
	}
}
