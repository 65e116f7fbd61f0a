package main

import (
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

// Rates and latencies are taken between two samples; an instance that started anew counts from nothing.
func TestCompare(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 14, 0, 0, time.UTC)
	figures := func(instance string, at time.Time, requests, failed, started float64, fast, slow uint64) admin.FiguresResponse {
		label := func(code string) map[string]string {
			return map[string]string{"grpc_method": "GetTree", "grpc_code": code}
		}
		return admin.FiguresResponse{Instance: instance, Time: at, Figures: []admin.Figure{
			{Name: "grpc_server_handled_total", Labels: label("OK"), Value: requests - failed},
			{Name: "grpc_server_handled_total", Labels: label("Unavailable"), Value: failed},
			{Name: "grpc_server_started_total", Value: started},
			{Name: "grpc_server_handling_seconds", Value: float64(fast + slow), Buckets: []admin.Bucket{{UpTo: 0.01, Count: fast}, {UpTo: 1, Count: fast + slow}}},
			{Name: "gitaly_praefect_read_distribution", Labels: map[string]string{"virtual_storage": "default", "storage": "gitaly-1"}, Value: requests},
			{Name: "gitaly_praefect_replication_queue_depth", Labels: map[string]string{"state": "dead"}, Value: failed},
		}}
	}
	view := func(at time.Time, term uint64, list ...admin.FiguresResponse) sample {
		s := sample{at: at, instances: list}
		s.raft.Term, s.raft.Leader = term, "p1"
		for _, name := range []string{"p1", "p2", "p3"} {
			s.raft.Instances = append(s.raft.Instances, admin.Instance{Name: name, State: admin.Follower, LeaseMillis: 800})
		}
		s.status.VirtualStorages = []admin.VirtualStorage{{Name: "default", Primary: "gitaly-1", Storages: []admin.Storage{{Name: "gitaly-1", Reachable: true}}}}
		return s
	}
	before := view(at, 7, figures("p1", at, 100, 10, 103, 100, 0), figures("p2", at, 500, 0, 500, 500, 0))
	later := at.Add(2 * time.Second)
	d := compare(&before, view(later, 9, figures("p1", later, 120, 14, 123, 110, 10), figures("p2", later, 8, 0, 8, 8, 0)), 7)
	want := []topInstance{
		{Name: "p1", State: admin.Follower, LeaseMS: 800, Asked: true, Requests: 10, Failed: 2, Running: 3, P50: 0.01, P99: 1},
		{Name: "p2", State: admin.Follower, LeaseMS: 800, Asked: true, Requests: 4, P50: 0.01, P99: 0.01},
		{Name: "p3", State: admin.Follower, LeaseMS: 800},
	}
	for i, line := range d.Instances {
		if line != want[i] {
			t.Errorf("got %+v, want %+v", line, want[i])
		}
	}
	if d.Elections != 2 || d.Seconds != 2 || d.Queue["dead"] != 14 || d.Storages[0].Reads != 14 || !d.Storages[0].Primary || len(d.Methods) != 1 || d.Methods[0].Requests != 14 {
		t.Errorf("got %+v", d)
	}
	first := compare(nil, before, 0)
	if first.Seconds != 0 || first.Instances[0].Requests != 0 || first.Instances[0].Running != 3 || first.Elections != 0 {
		t.Errorf("the first screen: got %+v", first)
	}
}

// A line is cut to the width of the terminal; colours take no room.
func TestFit(t *testing.T) {
	for _, row := range []struct{ line, want string }{
		{"short", "short"},
		{"exactly 10", "exactly 10"},
		{"longer than ten", "longer tha\x1b[0m"},
		{"\x1b[31m✗\x1b[0m 2 is long", "\x1b[31m✗\x1b[0m 2 is lon\x1b[0m"},
	} {
		if got := fit([]string{row.line, "below"}, 10, 1); len(got) != 1 || got[0] != row.want {
			t.Errorf("%q: got %q, want %q", row.line, got, row.want)
		}
	}
}

// On a terminal the screen is drawn over itself on the other screen, which is left at the end; elsewhere
// one follows the other.
func TestTop(t *testing.T) {
	i := &instance{t: t, Cluster: admintest.New(t, "gitaly-1", "gitaly-2")}
	i.SetMetrics(&dto.MetricFamily{Name: proto.String("grpc_server_handled_total"), Metric: []*dto.Metric{{
		Label: []*dto.LabelPair{{Name: proto.String("grpc_method"), Value: proto.String("GetTree")}, {Name: proto.String("grpc_code"), Value: proto.String("OK")}}, Counter: &dto.Counter{Value: proto.Float64(7)},
	}}})
	i.Lose("gitaly-2")
	address := i.serve(t)
	i.Raft(func(v *admin.RaftView) {
		for n := range v.Instances {
			v.Instances[n].ClientAddr = ""
		}
	})
	got := praefectctl(t, screen, "-endpoints", address, "top", "-count", "2", "-interval", "20ms")
	for _, want := range []string{enterScreen + homeScreen, leaveScreen, "praefect-1", "gitaly-2", "REQUESTS/S", "storage-away", "queue: ready 0"} {
		if got.code != 0 || !strings.Contains(got.stdout, want) {
			t.Errorf("got %+v, want %q in it", got, want)
		}
	}
	if strings.Count(got.stdout, homeScreen) != 2 || strings.Contains(got.stdout, "\x1b[2J") || !strings.HasSuffix(got.stdout, leaveScreen) {
		t.Errorf("got %q", got.stdout)
	}
	plain := praefectctl(t, nil, "-endpoints", address, "top", "-count", "2", "-interval", "20ms")
	if plain.code != 0 || strings.Contains(plain.stdout, "\x1b") || strings.Count(plain.stdout, "INSTANCE ") != 2 {
		t.Errorf("got %+v", plain)
	}
	praefectctl(t, nil, "-endpoints", address, "-o", "json", "top", "-count", "1").ends(t, 0, `"asked": true`, `"schema": 1`)
	praefectctl(t, nil, "-endpoints", closedPort(t), "top", "-count", "1").fails(t, exitUnavailable)
}
