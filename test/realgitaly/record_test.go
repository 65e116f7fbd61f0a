package realgitaly

import (
	"flag"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
	"praefect/test/gitaly/gitalytest"
	"praefect/test/must"
	"praefect/test/realgitaly/seen"
)

var update = flag.Bool("update", false, "note in the record what the nodes of this release were seen doing")

// seenFile is the record, of which docs/compatibility.md has a column.
var seenFile = filepath.Join("testdata", "seen.json")

// equal is what is noted of replicas that were so when the call was answered.
const equal = "equal"

// TestRealGitaly_record makes every write on a node and notes with -update the phases of its
// votes. The writes through a cluster note theirs in TestRealGitaly_writes.
func TestRealGitaly_record(t *testing.T) {
	gitaly := operators(t)
	node := subject(t, gitaly)
	votes := make(map[string]string)
	for name, phases := range gitalytest.RecordVotes(t, node) {
		m, text := methodOf(t, name), "none"
		if len(phases) > 0 {
			text = strings.Join(phases, " ")
		}
		votes[m.name()] = text
		// What is sent to several storages at once must vote, and name no effect first.
		if m.Votes && !slices.Contains(phases, "prepared") {
			t.Errorf("%s goes to several storages, and has the votes %q", name, text)
		}
	}
	note(t, gitaly, node.Conn, slices.Collect(maps.Keys(votes)), func(name string, m seen.Method) seen.Method {
		m.Votes = votes[name]
		return m
	})
}

// note notes what was seen, with -update and of a real release.
func note(t *testing.T, gitaly *cluster.Gitaly, node *grpc.ClientConn, methods []string, change func(string, seen.Method) seen.Method) {
	t.Helper()
	if !*update || gitaly.Major() == 0 || t.Failed() {
		return
	}
	info, err := gitalypb.NewServerServiceClient(node).ServerInfo(t.Context(), &gitalypb.ServerInfoRequest{})
	must.Succeed(t, err)
	must.Succeed(t, seen.Note(seenFile, info.GetServerVersion(), info.GetGitVersion(), methods, change))
}
