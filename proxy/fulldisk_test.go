package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/state"
	"praefect/test/gitaly"
	"praefect/test/must"
)

// A primary whose disk is full fails every write, pushes within their answers. That is
// counted, whether or not the others are a majority, and no storage falls behind by it.
func TestVote_tellsOfAPrimaryWithAFullDisk(t *testing.T) {
	for _, full := range [][]string{{"gitaly-1"}, {"gitaly-1", "gitaly-3"}} {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			k := newKillingFixture(t)
			k.server.cfg.FailsFor = time.Nanosecond
			var told []string
			k.server.fails = func(key state.Key, primary, why string) {
				if key != keyOf("a.git") || why == "" {
					t.Errorf("told of %v: %q", key, why)
				}
				told = append(told, primary)
			}
			for _, name := range full {
				must.Succeed(t, gitaly.WriteFaults(k.dirs[name], gitaly.Fault{Disk: "full"}))
			}
			for i := range failsLeast {
				if len(told) > 0 {
					t.Errorf("told after %d writes", i)
				}
				ref := fmt.Sprint("refs/heads/new", i)
				if answer, _ := k.push(ref); !strings.Contains(answer, "ng "+ref+" unpacker error") {
					t.Fatalf("push %d was answered %q", i, answer)
				}
				k.closed("a.git")
				if e := k.entry(); e != nil || len(k.repaired()) > 0 {
					t.Fatalf("after push %d: entry %+v, repaired %v", i, e, k.repaired())
				}
			}
			if !slices.Equal(told, []string{"gitaly-1"}) {
				t.Errorf("told of %q", told)
			}
			k.fails(failsLeast, 1)
			if err := k.commit(t.Context(), "other", "fails"); status.Code(err) != codes.Internal {
				t.Errorf("a commit ended with %v", err)
			}
			k.fails(failsLeast+1, 1)
			for _, name := range full {
				must.Succeed(t, gitaly.WriteFaults(k.dirs[name]))
			}
			if answer, err := k.push("refs/heads/new"); err != nil || !strings.Contains(answer, "ok refs/heads/new") {
				t.Errorf("with room on the disk a push was answered %q, %v", answer, err)
			}
			k.fails(failsLeast+1, 0)
			if on := k.has("refs/heads/new"); !slices.Equal(on, all) {
				t.Errorf("the reference is on %q", on)
			}
		})
	}
}

// What git refuses at every storage is no fault of the primary.
func TestVote_pushThatAllRefuse(t *testing.T) {
	k := newKillingFixture(t)
	if answer, err := k.push("refs/heads/main"); err != nil || !strings.Contains(answer, "ng refs/heads/main") {
		t.Errorf("a push from another value was answered %q, %v", answer, err)
	}
	k.fails(0, 0)
	k.closed("a.git")
	if e := k.entry(); e != nil {
		t.Errorf("entry: %+v", e)
	}
}

// fails wants so many failed writes of gitaly-1 counted, and so many repositories of which
// it fails writes now.
func (k *killingFixture) fails(writes, repositories int) {
	k.t.Helper()
	if n := testutil.ToFloat64(k.server.metrics.unwritten.WithLabelValues("default", "gitaly-1")); n != float64(writes) {
		k.t.Errorf("%v failed writes are counted, want %d", n, writes)
	}
	var list []FailingPrimary
	if repositories > 0 {
		list = []FailingPrimary{{"default", "gitaly-1", repositories}}
	}
	if got := k.server.FailingPrimaries(); !slices.Equal(got, list) {
		k.t.Errorf("failing primaries: %+v, want %+v", got, list)
	}
	families, err := k.registry.Gather()
	must.Succeed(k.t, err)
	for _, family := range families {
		if family.GetName() != "praefect_primary_failing_repositories" {
			continue
		}
		if first := family.GetMetric()[0]; len(family.GetMetric()) != len(all) || first.GetGauge().GetValue() != float64(repositories) {
			k.t.Errorf("got %v, want %d repositories of gitaly-1", family, repositories)
		}
		return
	}
	k.t.Error("no gauge counts the repositories")
}

// push pushes a new commit to a reference that is not there, and returns what git answers.
func (k *killingFixture) push(ref string) (answer string, err error) {
	k.t.Helper()
	dir := k.t.TempDir()
	git := func(input string, args ...string) []byte {
		k.t.Helper()
		cmd := exec.CommandContext(k.t.Context(), "git", args...)
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(input)
		out, err := cmd.Output()
		if err != nil {
			k.t.Fatalf("git %v: %v", args, err)
		}
		return bytes.TrimSpace(out)
	}
	git("", "init", "--quiet", "--bare")
	blob := git(ref, "hash-object", "-w", "--stdin")
	tree := git(fmt.Sprintf("100644 blob %s\tdata\n", blob), "mktree")
	commit := git("", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit-tree", string(tree), "-m", "new")
	line := fmt.Sprintf("%s %s %s\x00 report-status agent=test", zeroOID, commit, ref)
	pack := exec.CommandContext(k.t.Context(), "git", "pack-objects", "--revs", "--stdout", "--quiet")
	pack.Dir, pack.Stdin = dir, bytes.NewReader(commit)
	objects, err := pack.Output()
	must.Succeed(k.t, err)
	stream, err := gitalypb.NewSmartHTTPServiceClient(k.conn).PostReceivePack(k.t.Context())
	if err != nil {
		return "", err
	}
	for _, r := range []*gitalypb.PostReceivePackRequest{
		{Repository: repository("a.git"), GlId: "key-1", GlRepository: "project-1"},
		{Data: append(fmt.Appendf(nil, "%04x%s0000", len(line)+4, line), objects...)},
	} {
		if err := stream.Send(r); err != nil {
			break // the answer says why
		}
	}
	if err := stream.CloseSend(); err != nil {
		return "", err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return answer, nil
		}
		if err != nil {
			return answer, err
		}
		answer += string(r.GetData())
	}
}
