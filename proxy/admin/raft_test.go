package admin_test

import (
	"encoding/json"
	"testing"

	"praefect/fsm/condition"
	"praefect/proxy/admin"
	"praefect/proxy/admin/admintest"
)

func TestService_raftStatus(t *testing.T) {
	voter := func(name string, s admin.InstanceState) admin.Instance {
		return admin.Instance{Name: name, State: s, Voter: true, LeaseMillis: 500}
	}
	led, a, b, c, d := voter("a", admin.Leader), voter("b", admin.Follower), voter("c", admin.Follower), voter("d", admin.Follower), voter("e", admin.Follower)
	gone := func(i admin.Instance) admin.Instance { i.State = admin.Unreachable; return i }
	joining := admin.Instance{Name: "z", State: admin.Joining}
	noLease, wrong := b, c
	noLease.LeaseMillis, wrong.Error = 0, "the log store hangs"
	for _, row := range []struct {
		name      string
		leader    string
		ownView   bool
		instances []admin.Instance
		canLose   int
		health    condition.Health
	}{
		{"one", "a", false, []admin.Instance{led}, 0, condition.Healthy},
		{"three", "a", false, []admin.Instance{led, a, b}, 1, condition.Healthy},
		{"three, one joins", "a", false, []admin.Instance{led, joining, a, b}, 1, condition.Healthy},
		{"two of three", "a", false, []admin.Instance{led, a, gone(b)}, 0, condition.HealthDegraded},
		{"one of three", "a", false, []admin.Instance{led, gone(a), gone(b)}, 0, condition.HealthDegraded},
		{"five", "a", false, []admin.Instance{led, a, b, c, d}, 2, condition.Healthy},
		{"four of five", "a", false, []admin.Instance{led, a, b, c, gone(d)}, 1, condition.HealthDegraded},
		{"one has no lease", "a", false, []admin.Instance{led, a, noLease}, 1, condition.HealthDegraded},
		{"something is wrong with one", "a", false, []admin.Instance{led, a, wrong}, 1, condition.HealthDegraded},
		{"nobody leads", "", false, []admin.Instance{a, b, c}, 0, condition.HealthUnavailable},
		{"the leader was not asked", "a", true, []admin.Instance{a, b, c}, 0, condition.HealthUnavailable},
	} {
		cluster := admintest.New(t, three...)
		cluster.Raft(func(v *admin.RaftView) { v.Leader, v.OwnView, v.Instances = row.leader, row.ownView, row.instances })
		got, err := client(t, cluster, admin.Access{}).RaftStatus(t.Context())
		if err != nil || got.CanLose != row.canLose || got.Health != row.health {
			t.Errorf("%s: got can_lose %d, %s, %v", row.name, got.CanLose, got.Health, err)
		}
		for i := range got.Instances[1:] {
			if got.Instances[i].Name > got.Instances[i+1].Name {
				t.Errorf("%s: not by name: %+v", row.name, got.Instances)
			}
		}
	}
}

// The names that others rely on.
func TestRaftStatusResponse_hasTheAgreedNames(t *testing.T) {
	contact := int64(7)
	text, err := json.Marshal(admin.RaftStatusResponse{
		Schema: 1, Instance: "p", CanLose: 1, Health: condition.Healthy, Conditions: []condition.Condition{},
		RaftView: admin.RaftView{ClusterID: "c", Term: 2, CommitIndex: 3, Leader: "l", Instances: []admin.Instance{{
			Name: "n", ID: "i", Addr: "h:1", State: admin.Follower, Voter: true, Version: "v", LastContactMillis: &contact,
			AppliedIndex: 2, Behind: 1, LeaseMillis: 9,
		}}},
	})
	want := `{"schema":1,"instance":"p","cluster_id":"c","term":2,"commit_index":3,"leader":"l","feature_level":0,"instances":[{"name":"n","id":"i","addr":"h:1",` +
		`"state":"follower","voter":true,"version":"v","feature_level":0,"last_contact_ms":7,"applied_index":2,"behind":1,"lease_ms":9}],"can_lose":1,"health":"healthy","conditions":[]}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestService_history(t *testing.T) {
	c := admintest.New(t, "gitaly-1", "gitaly-2")
	c.Define("another", "gitaly-1")
	operator := client(t, c, admin.Access{})
	all, err := operator.History(t.Context(), admin.HistoryRequest{})
	if err != nil || len(all.Changes) < 3 {
		t.Fatalf("got %+v, %v", all, err)
	}
	for i := range all.Changes[1:] {
		if all.Changes[i].Index > all.Changes[i+1].Index {
			t.Errorf("not in order: %+v", all.Changes)
		}
	}
	newest, err := operator.History(t.Context(), admin.HistoryRequest{Limit: 1})
	if err != nil || len(newest.Changes) != 1 || newest.Changes[0] != all.Changes[len(all.Changes)-1] {
		t.Errorf("the newest: got %+v, %v", newest, err)
	}
	one, err := operator.History(t.Context(), admin.HistoryRequest{VirtualStorage: "another"})
	if err != nil || len(one.Changes) == 0 || one.Changes[0].VirtualStorage != "another" {
		t.Errorf("of one: got %+v, %v", one, err)
	}
	wantKind(t, admin.NotFound, errorOf(operator.History(t.Context(), admin.HistoryRequest{VirtualStorage: "no"}))) // of none
}
