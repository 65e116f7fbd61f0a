package proxy

import (
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/must"
)

// newMixedFixture has storages that vote, of which some run a newer release: it hashes each
// change otherwise, and votes when it is about to prepare one, too.
func newMixedFixture(t *testing.T, newer ...string) *fixture {
	t.Helper()
	w := newVotingFixture(t, func(t *testing.T, name string) *backend {
		release := ""
		if slices.Contains(newer, name) {
			release = "18.9.0"
		}
		return newBackendOf(t, name, release)
	})
	w.server.cfg.Copies = 2
	return w
}

// A write is decided by the storages that run the primary's release. The other ones fall
// behind and are repaired, however many they are.
func TestVote_storagesOfTwoReleases(t *testing.T) {
	for _, tc := range []struct {
		name   string
		newer  []string
		behind []string
	}{
		{"one secondary is upgraded", []string{"gitaly-3"}, []string{"gitaly-3"}},
		{"all secondaries are upgraded", []string{"gitaly-2", "gitaly-3"}, []string{"gitaly-2", "gitaly-3"}},
		{"the primary is upgraded", []string{"gitaly-1"}, []string{"gitaly-2", "gitaly-3"}},
		{"the primary and one more are upgraded", []string{"gitaly-1", "gitaly-2"}, []string{"gitaly-3"}},
		{"all are upgraded", all, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newMixedFixture(t, tc.newer...)
			w.create("a.git")
			var behind []string
			if e := w.entry(); e != nil {
				behind = slices.Sorted(slices.Values(e.Behind))
			}
			if !slices.Equal(behind, tc.behind) {
				t.Errorf("behind are %v, want %v", behind, tc.behind)
			}
			if repaired := slices.Contains(w.repaired(), keyOf("a.git")); repaired != (tc.behind != nil) {
				t.Errorf("given to be repaired: %v", w.repaired())
			}
			must.Succeed(t, w.writeRef(t.Context(), "a.git", "refs/heads/main", revision))
			for _, name := range w.has("refs/heads/main") {
				if slices.Contains(tc.behind, name) {
					t.Errorf("%s is behind and has made the change", name)
				}
			}
			if got := w.has("refs/heads/main"); len(got) != len(all)-len(tc.behind) {
				t.Errorf("on %v", got)
			}
		})
	}
}

// With when_short = "block" a write is refused, and changes nothing, while the primary is
// alone with its release.
func TestVote_aloneWithItsReleaseIsShort(t *testing.T) {
	w := newMixedFixture(t, "gitaly-2", "gitaly-3")
	w.server.cfg.Block = true
	_, err := gitalypb.NewRepositoryServiceClient(w.conn).CreateRepository(t.Context(), &gitalypb.CreateRepositoryRequest{Repository: repository("a.git")})
	if status.Code(err) == codes.OK || !strings.Contains(err.Error(), "too few storages agreed") {
		t.Errorf("got %v, want that too few storages agreed", err)
	}
	if e := w.entry(); e != nil && len(e.Behind) > 0 {
		t.Errorf("entry: %+v", e)
	}
}
