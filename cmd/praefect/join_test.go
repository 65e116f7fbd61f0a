package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"praefect/config"
	"praefect/consensus/elector"
	"praefect/consensus/session"
	"praefect/fsm/state"
	"praefect/proxy/admin"
	"praefect/proxy/storage"
	"praefect/replicator"
	"praefect/replicator/plan"
	"praefect/replicator/queue"
)

func TestConfigured_beginsWithThePrimary(t *testing.T) {
	cfg := &config.Config{VirtualStorages: []config.VirtualStorage{{Name: "default", Nodes: []config.Node{
		{Storage: "a", Address: "tcp://a:1", Token: "x"}, {Storage: "b", Address: "tcp://b:1", Primary: true}, {Storage: "c", Address: "tcp://c:1"},
	}}}}
	want := []elector.Configured{{VirtualStorage: "default", Storages: []string{"b", "a", "c"}, Primary: "b"}}
	if diff := cmp.Diff(want, configured(cfg)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	same(t, "target", targets(cfg)[0], (storage.Target{VirtualStorage: "default", Storage: "a", Address: "tcp://a:1", Token: "x"}))
}

// madeUp is a replicator that says what a test wants to read.
type madeUp struct{}

func (madeUp) Backfills() []replicator.Backfill {
	return []replicator.Backfill{{VirtualStorage: "default", Storages: []string{"b", "c"}, Total: 10, Done: 4, Left: 1}}
}

func (madeUp) Waiting(state.Key) plan.Waiting {
	return plan.Waiting{Reason: plan.DoubtBound, Incarnation: 7, Left: 1500 * time.Millisecond}
}

func (madeUp) WaitingJob(queue.Job) plan.Waiting {
	return plan.Waiting{Reason: plan.LiveIntent, Incarnation: 1}
}

func TestAdminRepair(t *testing.T) {
	jobs := queue.NewMemory(nil)
	err := jobs.Enqueue(t.Context(), []queue.Request{{
		Key: state.Key{VirtualStorage: "default", RelativePath: "a.git"}, Targets: []string{"b", "c"}, Reason: "behind",
	}})
	must(t, err)
	view, results := (&state.State{}).Apply(1, state.Batch{Version: state.CommandVersion, RequestID: "1", Commands: []state.Command{
		{Register: &state.Register{ID: "one", Name: "praefect-1", ClusterID: "c"}},
	}})
	if results[0].Refusal != nil {
		t.Fatal(results[0].Refusal)
	}
	r := adminRepair{queue: jobs, repairs: madeUp{}, view: func() *state.State { return view }}
	got, err := r.Jobs(t.Context(), admin.QueueListRequest{State: "ready", Limit: 10})
	if err != nil || len(got) != 1 || got[0].Target != "b,c" || got[0].State != "ready" || got[0].RelativePath != "a.git" || got[0].Reason != "behind" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got := r.Backfilling("default", "c"); got == nil || *got != (admin.Backfilling{Total: 10, Done: 4, Left: 1}) {
		t.Errorf("got %+v", got)
	}
	// The instance of an intent is named while it lives.
	if w := got[0].WaitsFor; w == nil || w.Reason != "live-intent" || w.Instance != "praefect-1" {
		t.Errorf("the job waits for %+v", w)
	}
	if w := r.Waiting(state.Key{}); w == nil || w.Reason != "in-doubt-intent" || w.Instance != "" || w.LeftMillis != 1500 {
		t.Errorf("the repository waits for %+v", w)
	}
	for _, name := range [][2]string{{"default", "a"}, {"other", "b"}} {
		same(t, fmt.Sprint(name), r.Backfilling(name[0], name[1]), nil)
	}
}

func TestClientAddress_isOneThatPeersCanUse(t *testing.T) {
	for _, row := range []struct {
		name string
		cfg  config.Config
		want string
	}{
		{"a host of its own", config.Config{ListenAddr: "10.0.0.1:2305"}, "tcp://10.0.0.1:2305"},
		{"every address", config.Config{ListenAddr: "0.0.0.0:2305", Raft: config.Raft{AdvertiseAddr: "p1:2307"}}, "tcp://p1:2305"},
		{"no host", config.Config{ListenAddr: ":2305", Raft: config.Raft{AdvertiseAddr: "p1:2307"}}, "tcp://p1:2305"},
		{"TLS only", config.Config{TLSListenAddr: "[::]:3305", Raft: config.Raft{AdvertiseAddr: "p1:2307"}}, "tls://p1:3305"},
		{"a socket only", config.Config{SocketPath: "/run/p.sock"}, "unix:/run/p.sock"},
	} {
		same(t, row.name, clientAddress(&row.cfg), row.want)
	}
}

func TestSwitchError_saysWhetherAnythingChanged(t *testing.T) {
	for _, row := range []struct {
		err  error
		want admin.Kind
	}{
		{session.ErrNotLeading, admin.NoLeader},
		{session.ErrCanceled, admin.Canceled},
		{fmt.Errorf("%w: promote b", session.ErrSwitchoverRunning), admin.Refused},
		{fmt.Errorf("%w: it is out", elector.ErrRefused), admin.Refused},
		{fmt.Errorf("%w: copies", elector.ErrTimeout), admin.TimedOut},
		{fmt.Errorf("%w: gone", session.ErrUnknown), admin.OutcomeUnknown},
		{elector.ErrOvertaken, admin.OutcomeUnknown},
	} {
		same(t, fmt.Sprint(row.err), admin.KindOf(switchError(row.err)), row.want)
	}
}
