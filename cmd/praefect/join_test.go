package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"praefect/config"
	"praefect/consensus/elector"
	"praefect/proxy/admin"
	"praefect/proxy/ledger"
	"praefect/proxy/storage"
	"praefect/replicator"
	"praefect/replicator/queue"
)

func TestConfigured_beginsWithThePrimary(t *testing.T) {
	cfg := &config.Config{VirtualStorages: []config.VirtualStorage{{Name: "default", Nodes: []config.Node{
		{Storage: "a", Address: "tcp://a:1", Token: "x"}, {Storage: "b", Address: "tcp://b:1", Primary: true}, {Storage: "c", Address: "tcp://c:1"},
	}}}}
	want := []elector.Configured{{VirtualStorage: "default", Storages: []string{"b", "a", "c"}}}
	if diff := cmp.Diff(want, configured(cfg)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := targets(cfg)[0]; got != (storage.Target{VirtualStorage: "default", Storage: "a", Address: "tcp://a:1", Token: "x"}) {
		t.Errorf("got %+v", got)
	}
}

func TestGateError(t *testing.T) {
	other := errors.New("other")
	for _, row := range []struct{ err, want error }{
		{nil, nil},
		{fmt.Errorf("a.git: %w", ledger.ErrBusy), replicator.ErrBusy},
		{fmt.Errorf("a.git: %w", ledger.ErrSpoiled), replicator.ErrSpoiled},
		{other, other},
	} {
		if got := gateError(row.err); got != row.want {
			t.Errorf("%v: got %v, want %v", row.err, got, row.want)
		}
	}
}

func TestAdminRepair(t *testing.T) {
	jobs := queue.NewMemory(nil)
	err := jobs.Enqueue(t.Context(), []queue.Request{{
		Key: queue.Key{VirtualStorage: "default", RelativePath: "a.git"}, Targets: []string{"b", "c"}, Reason: "behind",
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := adminRepair{queue: jobs, fills: func() []replicator.Fill {
		return []replicator.Fill{{VirtualStorage: "default", Storages: []string{"b", "c"}, Total: 10, Done: 4, Left: 1}}
	}}
	got, err := r.Jobs(t.Context(), admin.QueueListRequest{State: "ready", Limit: 10})
	if err != nil || len(got) != 1 || got[0].Target != "b,c" || got[0].State != "ready" || got[0].RelativePath != "a.git" || got[0].Reason != "behind" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := r.Filling("default", "c"); got == nil || *got != (admin.Filling{Total: 10, Done: 4, Left: 1}) {
		t.Errorf("got %+v", got)
	}
	for _, name := range [][2]string{{"default", "a"}, {"other", "b"}} {
		if got := r.Filling(name[0], name[1]); got != nil {
			t.Errorf("%v: got %+v", name, got)
		}
	}
}
