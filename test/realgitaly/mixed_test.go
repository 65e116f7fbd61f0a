package realgitaly

import (
	"os"
	"testing"

	"praefect/test/cluster"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
)

// older is the Gitaly of the other release that an operator named.
func older(t *testing.T) *cluster.Gitaly {
	t.Helper()
	bin := os.Getenv("GITALY_BIN_OLD")
	if bin == "" {
		t.Skip("GITALY_BIN_OLD names no gitaly of another release (and GITALY_GIT_OLD the git of it): docs/operations/own-gitaly.md tells how to run this")
	}
	gitaly, err := cluster.FindGitaly(t.Context(), bin, os.Getenv("GITALY_GIT_OLD"))
	must.Succeed(t, err)
	if gitaly == nil {
		t.Fatalf("GITALY_BIN_OLD=%s is no Gitaly", bin)
	}
	return gitaly
}

// TestRealGitaly_hashes compares the votes of two releases on the same changes, and prints
// where they differ.
func TestRealGitaly_hashes(t *testing.T) {
	gitalytest.CompareVotes(t, subject(t, operators(t)), subject(t, older(t)))
}
