package admin_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/fsm/reachability"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

// explained is the answer about a.git.
func explained(t *testing.T, c *admintest.Cluster) admin.ExplainResponse {
	t.Helper()
	got, err := client(t, c, admin.Access{}).Explain(t.Context(), admin.ExplainRequest{RelativePath: "a.git"})
	must(t, err)
	if got.Schema != 1 || got.Instance != "praefect-1" || got.VirtualStorage != "default" || got.RelativePath != "a.git" || got.Index != c.View().Index {
		t.Errorf("got %+v", got)
	}
	return got
}

func TestExplain_cleanRepository(t *testing.T) {
	c := admintest.New(t, three...)
	got := explained(t, c)
	if got.Entry != nil || got.WaitsFor != nil || got.Existence.Exists == nil || !*got.Existence.Exists || got.Existence.Storage != "gitaly-1" {
		t.Errorf("got %+v", got)
	}
	if r := got.Routes.Reads; !slices.Equal(r.Storages, three) || r.Rule != "any-in-sync" || r.Why == "" || r.Refused != "" {
		t.Errorf("reads: %+v", r)
	}
	if w := got.Routes.Writes; w.Primary != "gitaly-1" || !slices.Equal(w.Others, three[1:]) || !w.Votes || w.Why == "" || w.Waits != "" {
		t.Errorf("writes: %+v", w)
	}
	if len(got.Jobs) != 0 || got.JobsError != "" || len(got.Changes) == 0 {
		t.Errorf("got %+v", got)
	}
	c.Absent("a.git")
	if got := explained(t, c); got.Entry != nil || got.Existence.Exists == nil || *got.Existence.Exists {
		t.Errorf("one that does not exist: %+v", got)
	}
}

// TestExplain_whatNeedsNothing: neither Postgres nor a leader nor a storage is needed for the rest.
func TestExplain_whatNeedsNothing(t *testing.T) {
	c := admintest.New(t, three...)
	dead := c.Died("a.git", "gitaly-1")
	c.Raft(func(v *admin.RaftView) { v.Leader = "" })
	c.SetJobs(nil, admintest.ErrQueue)
	for _, name := range three {
		c.Lose(name)
	}
	got := explained(t, c)
	if got.JobsError != admintest.ErrQueue.Error() || got.Existence.Exists != nil || got.Existence.Error == "" {
		t.Errorf("got %+v", got)
	}
	if got.Routes.Reads.Refused == "" || got.Routes.Writes.Refused == "" || len(got.Routes.Reads.Storages) > 0 {
		t.Errorf("routes: %+v", got.Routes)
	}
	if len(got.Entry.Intents) != 1 || got.Entry.Intents[0].Incarnation != dead {
		t.Errorf("entry: %+v", got.Entry)
	}
}

// TestExplain_intents: by instance and incarnation, with the state of each, and who was retired is in the changes.
func TestExplain_intents(t *testing.T) {
	c := admintest.New(t, three...)
	open := state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.PrimaryOnly, Scope: state.Scope{BoundMillis: 7000, Targets: three}}}
	dead := c.Died("a.git", "gitaly-2")
	c.Apply(open)
	got := explained(t, c)
	if len(got.Entry.Intents) != 2 {
		t.Fatalf("got %+v", got.Entry)
	}
	live, retired := got.Entry.Intents[0], got.Entry.Intents[1]
	if live.Instance != "praefect-1" || live.Life != admin.LifeLive || live.LeaseMillis == nil || *live.LeaseMillis != 800 ||
		live.Kind != "primary-only" || live.BoundMillis != 7000 || !slices.Equal(live.Targets, three) {
		t.Errorf("live: %+v", live)
	}
	if retired.Instance != "" || retired.Incarnation != dead || retired.Life != admin.LifeRetired || retired.LeaseMillis != nil ||
		retired.Kind != "" || retired.InDoubt == nil || !slices.Equal(retired.InDoubt.Targets, []string{"gitaly-2"}) {
		t.Errorf("retired: %+v", retired)
	}
	if got.Routes.Reads.Rule != "primary-only" || !slices.Equal(got.Routes.Reads.Storages, three[:1]) {
		t.Errorf("reads: %+v", got.Routes.Reads)
	}
	if !got.Storages[1].InDoubt || got.Storages[2].InDoubt {
		t.Errorf("storages: %+v", got.Storages)
	}
	if !slices.ContainsFunc(got.Changes, func(e admin.Event) bool { return e.Instance == "praefect-2" && e.Change == state.ChangeRetired }) {
		t.Errorf("changes: %+v", got.Changes)
	}
	// The instance starts again: what the former life has under way is not that of the present one.
	c.Apply(state.Command{Register: &state.Register{ID: "id-1", Name: "praefect-1"}})
	if live := explained(t, c).Entry.Intents[0]; live.Life != admin.LifeReplaced || live.LeaseMillis != nil {
		t.Errorf("replaced: %+v", live)
	}
}

func TestExplain_replicas(t *testing.T) {
	c := admintest.New(t, three...)
	c.WrittenOnlyTo("a.git", "gitaly-1", "gitaly-2")
	c.Observe("gitaly-2", reachability.Observation{Err: errors.New("refused")})
	c.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git"}, {ID: 2, VirtualStorage: "default", RelativePath: "b.git"}}, nil)
	waits := &admin.Waiting{Reason: "target-away", Storages: []string{"gitaly-3"}}
	c.SetWaiting("a.git", waits)
	got := explained(t, c)
	want := []admin.Replica{
		{Storage: "gitaly-1", State: state.Serving, Role: "primary", Reachable: true},
		{Storage: "gitaly-2", State: state.Serving, Role: "in-sync", Error: "refused"},
		{Storage: "gitaly-3", State: state.Serving, Role: "behind", Reachable: true},
	}
	if !slices.Equal(got.Storages, want) {
		t.Errorf("got %+v", got.Storages)
	}
	if len(got.Jobs) != 1 || got.Jobs[0].ID != 1 || got.WaitsFor == nil || got.WaitsFor.Reason != waits.Reason {
		t.Errorf("jobs %+v, waits for %+v", got.Jobs, got.WaitsFor)
	}
	// Another disk: the storage is backfilled, and is no replica that is used.
	c.Returned("default", "gitaly-2", "new")
	if st := explained(t, c).Storages; !slices.ContainsFunc(st, func(r admin.Replica) bool { return r.Storage == "gitaly-2" && r.Role == "behind" }) {
		t.Errorf("got %+v", st)
	}
}

func TestExplain_whichRepository(t *testing.T) {
	c := admintest.New(t, three...)
	c.Define("other", "gitaly-1")
	call := client(t, c, admin.Access{})
	for _, row := range []struct {
		request admin.ExplainRequest
		code    codes.Code
		says    string
	}{
		{admin.ExplainRequest{RelativePath: "a.git"}, codes.InvalidArgument, "default, other"},
		{admin.ExplainRequest{VirtualStorage: "none", RelativePath: "a.git"}, codes.NotFound, "none"},
		{admin.ExplainRequest{VirtualStorage: "other"}, codes.InvalidArgument, "relative path"},
		{admin.ExplainRequest{VirtualStorage: "other", RelativePath: "a.git"}, codes.OK, ""},
	} {
		got, err := call.Explain(t.Context(), row.request)
		if status.Code(err) != row.code || err != nil && !strings.Contains(err.Error(), row.says) {
			t.Errorf("%+v: got %+v, %v", row.request, got, err)
		}
	}
}
