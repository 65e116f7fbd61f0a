package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

// An accepted loss is listed with the references that were given up, the newest first, in pages.
func TestService_losses(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{Peers: true})
	c.SetReferences("a.git", "gitaly-1", map[string]string{"refs/heads/main": "1", "refs/heads/lost": "2"})
	c.SetReferences("a.git", "gitaly-2", map[string]string{"refs/heads/main": "1"})
	for _, path := range []string{"a.git", "b.git", "c.git"} {
		c.WrittenOnlyTo(path, "gitaly-1")
	}
	c.Lose("gitaly-3")
	for i, path := range []string{"a.git", "b.git", "c.git"} {
		request := admin.AcceptLossRequest{Change: asked(fmt.Sprint(i)), VirtualStorage: "default", RelativePath: path, Storage: "gitaly-2"}
		request.By = "operator: accept-dataloss (alice@desk): disk gone"
		if _, err := cc.AcceptLoss(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	first, err := cc.Losses(t.Context(), admin.LossesRequest{Limit: 2})
	if err != nil || len(first.Losses) != 2 || !first.More || first.Losses[0].RelativePath != "c.git" {
		t.Fatalf("got %+v, %v", first, err)
	}
	rest, err := cc.Losses(t.Context(), admin.LossesRequest{Before: first.Losses[1].Index})
	if err != nil || len(rest.Losses) != 1 || rest.More {
		t.Fatalf("got %+v, %v", rest, err)
	}
	got := fmt.Sprintf("%+v", rest.Losses[0])
	for _, want := range []string{"a.git", "Storage:gitaly-2", "Behind:[gitaly-2 gitaly-3]", "{Name:refs/heads/lost Here: There:2}", "NotCompared:[gitaly-3]", "alice@desk", "disk gone"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s, want %q in it", got, want)
		}
	}
	if one, err := cc.Losses(t.Context(), admin.LossesRequest{RelativePath: "b.git"}); err != nil || len(one.Losses) != 1 {
		t.Errorf("by path: got %+v, %v", one, err)
	}
	if none, err := cc.Losses(t.Context(), admin.LossesRequest{VirtualStorage: "gone"}); err != nil || len(none.Losses) != 0 || none.Losses == nil {
		t.Errorf("of a virtual storage that is not: got %+v, %v", none, err)
	}
}

func TestService_diff(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{})
	c.SetReferences("a.git", "gitaly-1", map[string]string{"refs/heads/main": "1", "refs/heads/a": "2", "refs/tags/v1": "3"})
	c.SetReferences("a.git", "gitaly-2", map[string]string{"refs/heads/main": "9", "refs/heads/b": "2", "refs/tags/v1": "3"})
	c.WrittenOnlyTo("a.git", "gitaly-1", "gitaly-3")
	got, err := cc.Diff(t.Context(), admin.DiffRequest{RelativePath: "a.git", Here: "gitaly-1", There: "gitaly-2", Limit: 2})
	must(t, err)
	want := admin.DiffResponse{
		Schema: 1, Instance: "praefect-1", VirtualStorage: "default", RelativePath: "a.git", Differing: 3,
		Here:       admin.DiffSide{Storage: "gitaly-1", Exists: true, Role: "primary", Only: 1},
		There:      admin.DiffSide{Storage: "gitaly-2", Exists: true, Role: "behind", Only: 1},
		References: []state.DifferingReference{{Name: "refs/heads/a", Here: "2"}, {Name: "refs/heads/b", There: "2"}},
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	for name, row := range map[string]struct {
		request admin.DiffRequest
		kind    admin.Kind
	}{
		"no repository":   {admin.DiffRequest{Here: "gitaly-1", There: "gitaly-2"}, admin.Invalid},
		"one storage":     {admin.DiffRequest{RelativePath: "a.git", Here: "gitaly-1", There: "gitaly-1"}, admin.Invalid},
		"no such storage": {admin.DiffRequest{RelativePath: "a.git", Here: "gitaly-1", There: "gitaly-9"}, admin.NotFound},
		"neither has it":  {admin.DiffRequest{RelativePath: "b.git", Here: "gitaly-1", There: "gitaly-2"}, admin.NotFound},
	} {
		if _, err := cc.Diff(t.Context(), row.request); admin.KindOf(err) != row.kind {
			t.Errorf("%s: got %v, want %s", name, err, row.kind)
		}
	}
	c.Lose("gitaly-2")
	if _, err := cc.Diff(t.Context(), admin.DiffRequest{RelativePath: "a.git", Here: "gitaly-1", There: "gitaly-2"}); status.Code(err) != codes.Unavailable {
		t.Errorf("a storage is away: got %v", err)
	}
}

// Filters look at the ledger alone: they answer without Postgres, and what is clean costs nothing.
func TestService_repositories(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{})
	c.SetPaths("@hashed/a.git", "@hashed/b.git", "@hashed/c.git", "other/d.git")
	c.WrittenOnlyTo("@hashed/a.git", "gitaly-1", "gitaly-3")
	c.WrittenOnlyTo("@hashed/c.git", "gitaly-1")
	list := func(r admin.RepositoriesRequest) string {
		t.Helper()
		var found []string
		for {
			page, err := cc.Repositories(t.Context(), r)
			if err != nil {
				return status.Code(err).String()
			}
			for _, l := range page.Repositories {
				found = append(found, fmt.Sprint(l.RelativePath, ":", l.State, l.Behind, l.Available))
				r.After = &state.Key{VirtualStorage: l.VirtualStorage, RelativePath: l.RelativePath}
			}
			if !page.More {
				return strings.Join(found, " ")
			}
			if r.Limit > 0 && len(page.Repositories) != r.Limit {
				t.Errorf("a page of %d", len(page.Repositories))
			}
		}
	}
	const a, b, cc3, d = "@hashed/a.git:behind[gitaly-2] true", "@hashed/b.git:clean[] true", "@hashed/c.git:behind[gitaly-2 gitaly-3] true", "other/d.git:clean[] true"
	rows := []struct {
		name    string
		request admin.RepositoriesRequest
		want    string
	}{
		{"all", admin.RepositoriesRequest{}, a + " " + b + " " + cc3 + " " + d},
		{"all in pages of one", admin.RepositoriesRequest{Limit: 1}, a + " " + b + " " + cc3 + " " + d},
		{"by prefix", admin.RepositoriesRequest{Prefix: "other/"}, d},
		{"behind", admin.RepositoriesRequest{Filter: admin.FilterBehind, Limit: 1}, a + " " + cc3},
		{"behind, by prefix", admin.RepositoriesRequest{Filter: admin.FilterBehind, Prefix: "@hashed/c"}, cc3},
		{"behind on a storage", admin.RepositoriesRequest{Storage: "gitaly-3"}, cc3},
		{"in conflict", admin.RepositoriesRequest{Filter: admin.FilterConflict}, ""},
		{"no such filter", admin.RepositoriesRequest{Filter: "odd"}, codes.InvalidArgument.String()},
		{"no such virtual storage", admin.RepositoriesRequest{VirtualStorage: "odd"}, codes.NotFound.String()},
	}
	for _, row := range rows {
		if got := list(row.request); got != row.want {
			t.Errorf("%s: got %s\nwant %s", row.name, got, row.want)
		}
	}
	c.SetJobs(nil, admintest.ErrQueue) // Postgres is away
	c.Lose("gitaly-1")
	if got := list(admin.RepositoriesRequest{}); got != codes.Unavailable.String() {
		t.Errorf("without Postgres: got %s", got)
	}
	if got := list(admin.RepositoriesRequest{Filter: admin.FilterUnavailable}); got != "@hashed/c.git:unavailable[gitaly-2 gitaly-3] false" {
		t.Errorf("unavailable, without Postgres: got %s", got)
	}
}

func TestService_impact(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{})
	c.WrittenOnlyTo("a.git", "gitaly-1")             // only there
	c.WrittenOnlyTo("b.git", "gitaly-1", "gitaly-3") // on one less
	c.WrittenOnlyTo("c.git", "gitaly-1", "gitaly-3")
	for storage, want := range map[string]string{
		"gitaly-1": "[gitaly-2 gitaly-3] unavailable 1 [a.git] short 2",
		"gitaly-2": "[gitaly-1 gitaly-3] unavailable 0 [] short 0",
		"gitaly-3": "[gitaly-1 gitaly-2] unavailable 0 [] short 2",
	} {
		i, err := cc.Impact(t.Context(), admin.ImpactRequest{Storage: storage})
		if got := fmt.Sprintf("%v unavailable %d %v short %d", i.Serving, i.Unavailable, i.Repositories, i.Short); got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", storage, got, err, want)
		}
	}
	wantKind(t, admin.NotFound, errorOf(cc.Impact(t.Context(), admin.ImpactRequest{Storage: "gitaly-9"})))
}

func TestService_figures(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{})
	c.SetMetrics(
		&dto.MetricFamily{Name: proto.String("a_total"), Metric: []*dto.Metric{{Label: []*dto.LabelPair{{Name: proto.String("kind"), Value: proto.String("read")}}, Counter: &dto.Counter{Value: proto.Float64(7)}}}},
		&dto.MetricFamily{Name: proto.String("a_seconds"), Metric: []*dto.Metric{{Histogram: &dto.Histogram{
			SampleCount: proto.Uint64(3), SampleSum: proto.Float64(1.5), Bucket: []*dto.Bucket{{UpperBound: proto.Float64(0.1), CumulativeCount: proto.Uint64(2)}},
		}}}},
		&dto.MetricFamily{Name: proto.String("b"), Metric: []*dto.Metric{{Gauge: &dto.Gauge{Value: proto.Float64(1)}}}},
	)
	got, err := cc.Figures(t.Context(), "a_*")
	if err != nil || len(got.Figures) != 2 || got.Figures[0].Value != 7 || got.Figures[0].Labels["kind"] != "read" ||
		got.Figures[1].Value != 3 || got.Figures[1].Sum != 1.5 || got.Figures[1].Buckets[0] != (admin.Bucket{UpTo: 0.1, Count: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if one, err := cc.Figures(t.Context(), "b"); err != nil || len(one.Figures) != 1 {
		t.Errorf("got %+v, %v", one, err)
	}
	wantKind(t, admin.Invalid, errorOf(cc.Figures(t.Context()))) // no name
}

// Debug files need what a change needs, and arrive whole.
func TestService_debug(t *testing.T) {
	c := admintest.New(t, three...)
	long := strings.Repeat("goroutine 1 [running]\n", 20_000)
	c.SetDebug(map[string]string{"goroutines.txt": long, "empty.txt": ""})
	cc := client(t, c, admin.Access{Token: "secret"})
	read := func(cc *admin.Client) (map[string]string, error) {
		files := map[string]string{}
		err := cc.Debug(t.Context(), func(instance, name string, content []byte) error {
			files[instance+"/"+name] += string(content)
			return nil
		})
		return files, err
	}
	if files, err := read(cc); admin.KindOf(err) != admin.Denied || len(files) != 0 {
		t.Errorf("without the admin token: got %d files, %v", len(files), err)
	}
	files, err := read(cc.WithAdminToken("secret"))
	if _, empty := files["praefect-1/empty.txt"]; err != nil || !empty || files["praefect-1/goroutines.txt"] != long {
		t.Errorf("got %d files, %v", len(files), err)
	}
	full := errors.New("the disk is full")
	if err := cc.WithAdminToken("secret").Debug(t.Context(), func(string, string, []byte) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestService_historyAfter(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{})
	all, err := cc.History(t.Context(), admin.HistoryRequest{})
	if err != nil || len(all.Changes) < 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	second := all.Changes[len(all.Changes)-2].Index
	if rest, err := cc.History(t.Context(), admin.HistoryRequest{After: second}); err != nil || len(rest.Changes) != 1 {
		t.Errorf("got %+v, %v", rest, err)
	}
}

func TestService_reconcile(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{Token: "secret"})
	c.WrittenOnlyTo("a.git", "gitaly-1")
	c.WrittenOnlyTo("b.git", "gitaly-1")
	c.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git", State: "dead"}}, nil)
	plan, err := cc.Reconcile(t.Context(), admin.ReconcileRequest{Change: asked("1"), DryRun: true})
	if err != nil || plan.Due != 2 || plan.Made != 1 || !plan.DryRun {
		t.Errorf("a plan needs no admin token: got %+v, %v", plan, err)
	}
	wantKind(t, admin.Denied, errorOf(cc.Reconcile(t.Context(), admin.ReconcileRequest{Change: asked("1")}))) // without the admin token
	operator := cc.WithAdminToken("secret")
	wantKind(t, admin.NotFound, errorOf(operator.Reconcile(t.Context(), admin.ReconcileRequest{Change: asked("1"), VirtualStorage: "none"}))) // of another virtual storage
	done, err := operator.Reconcile(t.Context(), admin.ReconcileRequest{Change: asked("1")})
	jobs, listErr := cc.QueueList(t.Context(), admin.QueueListRequest{})
	if err != nil || listErr != nil || done.Due != 2 || done.Made != 1 || len(jobs.Jobs) != 2 {
		t.Errorf("got %+v, %v; jobs %+v, %v", done, err, jobs, listErr)
	}
}

func TestService_dropJobs(t *testing.T) {
	c := admintest.New(t, three...)
	cc := client(t, c, admin.Access{Token: "secret"})
	c.WrittenOnlyTo("a.git", "gitaly-1")
	c.SetJobs([]admin.Job{{ID: 1, VirtualStorage: "default", RelativePath: "a.git", State: "dead"}, {ID: 2, VirtualStorage: "default", RelativePath: "b.git", State: "dead"},
		{ID: 3, VirtualStorage: "default", RelativePath: "c.git", State: "in_progress"}}, nil)
	plan, err := cc.DropJobs(t.Context(), admin.DropRequest{Change: asked("1"), State: "dead", DryRun: true})
	if err != nil || plan.Dropped != 2 || plan.Listed != 1 || !plan.DryRun {
		t.Errorf("a plan needs no admin token: got %+v, %v", plan, err)
	}
	wantKind(t, admin.Denied, errorOf(cc.DropJobs(t.Context(), admin.DropRequest{Change: asked("1"), State: "dead"})))
	wantKind(t, admin.Invalid, errorOf(cc.WithAdminToken("secret").DropJobs(t.Context(), admin.DropRequest{Change: asked("1"), State: "in_progress"}))) // a job that runs
	done, err := cc.WithAdminToken("secret").DropJobs(t.Context(), admin.DropRequest{Change: asked("1"), State: "dead"})
	left, listErr := cc.QueueList(t.Context(), admin.QueueListRequest{})
	if err != nil || listErr != nil || done.Dropped != 2 || len(left.Jobs) != 1 {
		t.Errorf("got %+v, %v; left %+v, %v", done, err, left, listErr)
	}
}
