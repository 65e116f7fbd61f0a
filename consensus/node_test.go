package consensus

import (
	"fmt"
	"sync"
	"testing"

	gometrics "github.com/hashicorp/go-metrics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/test/must"
)

func TestNode_restartKeepsTheState(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir).ready(t)
	first.must(t, define())
	for i := range 20 {
		first.must(t, openIntent(fmt.Sprint(i)))
	}
	first.stop(t)
	before := first.View()

	again, err := open(t, dir)
	must.Succeed(t, err)
	if again.ID() != first.ID() {
		t.Errorf("id %q, want %q", again.ID(), first.ID())
	}
	must.Succeed(t, again.Close())
	second := begin(t, dir).ready(t)
	if got := second.View().ClusterID; got != before.ClusterID || got == "" {
		t.Errorf("cluster %q, want %q", got, before.ClusterID)
	}
	if got := second.View().Len(); got != 20 {
		t.Errorf("%d entries, want 20", got)
	}
}

func TestNode_restartRetiresTheFormerLife(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir, func(c *setup.Config) { c.Address, c.Version = "h:1", "1.0" }).ready(t)
	first.must(t, define(), openIntent("a"))
	if in := first.View().Instance(first.Incarnation()); in == nil || in.ID != first.ID() || in.Name != "one" ||
		in.Address != "h:1" || in.Version != "1.0" {
		t.Errorf("registered %+v", in)
	}
	first.stop(t)

	second := begin(t, dir).ready(t)
	if second.Incarnation() <= first.Incarnation() {
		t.Errorf("incarnation %d after %d", second.Incarnation(), first.Incarnation())
	}
	if live := second.View().Instances; len(live) != 1 || live[0].Incarnation != second.Incarnation() {
		t.Errorf("live: %+v", live)
	}
	m := second.entry("a").Intent(first.Incarnation())
	if m == nil || m.Kind != "" || m.InDoubt == nil {
		t.Errorf("the intent left is %+v, want one in doubt", m)
	}
}

func TestNode_snapshotAndRestore(t *testing.T) {
	dir := t.TempDir()
	first := begin(t, dir).ready(t)
	first.must(t, define(), openIntent("a"))
	must.Succeed(t, first.library.Raft().Snapshot().Error())
	first.must(t, openIntent("b")) // in the log only
	first.stop(t)

	again, err := open(t, dir)
	must.Succeed(t, err)
	defer again.Close()
	if again.View().Len() != 1 || again.View().Entry(state.Key{VirtualStorage: "v", RelativePath: "a"}) == nil {
		t.Errorf("%d entries right after the start, want that of the snapshot", again.View().Len())
	}
	must.Succeed(t, again.Close())
	second := begin(t, dir).ready(t)
	if second.entry("a") == nil || second.entry("b") == nil {
		t.Errorf("%d entries, want that of the snapshot and that of the log", second.View().Len())
	}
}

func TestNode_Propose_concurrently(t *testing.T) {
	reg := prometheus.NewRegistry()
	i := begin(t, t.TempDir(), func(c *setup.Config) { c.Registerer = reg }).ready(t)
	i.must(t, define())
	const callers, rounds = 64, 40
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			path := fmt.Sprint(c)
			for range rounds {
				results, err := i.Propose(t.Context(), openIntent(path), closeIntent(path), closeIntent(path))
				if err != nil {
					t.Error(err)
					return
				}
				if len(results) != 3 || results[0].Refusal != nil || results[1].Refusal != nil ||
					results[2].Refusal == nil || results[2].Refusal.Reason != state.RefusedNoIntent {
					t.Errorf("got %+v", results)
				}
				if i.View().Index < results[2].Index {
					t.Errorf("answered for index %d while the view is at %d", results[2].Index, i.View().Index)
				}
			}
		})
	}
	wg.Wait()
	if got := i.View().Len(); got != 0 {
		t.Errorf("%d entries, want none", got)
	}
	commands, batches := testutil.ToFloat64(i.proposer.metrics.commands), testutil.ToFloat64(i.proposer.metrics.batches)
	if want := float64(callers*rounds*3 + 2); commands != want {
		t.Errorf("%v commands, want %v", commands, want)
	}
	if batches > commands/4 {
		t.Errorf("%v batches for %v commands", batches, commands)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}

func TestNode_Status(t *testing.T) {
	i := begin(t, t.TempDir()).ready(t)
	s := i.Status()
	if s.ID != i.ID() || s.Leader != i.ID() || s.Name != "one" || s.State != "Leader" || s.ClusterID != i.View().ClusterID ||
		s.Term == 0 || s.CommitIndex == 0 || s.AppliedIndex < uint64(i.Incarnation()) || s.LastContact != 0 {
		t.Errorf("got %+v", s)
	}
	i.stop(t)
	if s := i.Status(); s.State != "Shutdown" || s.Leader == i.ID() {
		t.Errorf("stopped, got %+v", s)
	}
}

func TestNode_Wait(t *testing.T) {
	i := begin(t, t.TempDir()).ready(t)
	changed := i.Changed()
	index := i.must(t, define())[0].Index
	if err := i.Wait(t.Context(), index); err != nil {
		t.Error(err)
	}
	<-changed
}

func TestOpen_withoutRun(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		n, err := open(t, dir)
		must.Succeed(t, err)
		for range 2 {
			must.Succeed(t, n.Close())
		}
	}
}

func TestOpen_metricsTwice(t *testing.T) {
	reg := prometheus.NewRegistry()
	with := func(c *setup.Config) { c.Registerer = reg }
	begin(t, t.TempDir(), with).ready(t)
	dir := t.TempDir()
	if n, err := open(t, dir, with); err == nil {
		t.Error("registered twice")
		n.Close()
	}
	begin(t, dir).ready(t) // the failed one has let go of the directory
}

func TestExportRaftMetrics(t *testing.T) {
	// The destination outlives the test, and would take summaries of the time in a
	// bubble, which it makes good second by second afterwards.
	t.Cleanup(func() {
		none := gometrics.DefaultConfig("")
		none.EnableRuntimeMetrics = false
		if _, err := gometrics.NewGlobal(none, &gometrics.BlackholeSink{}); err != nil {
			t.Error(err)
		}
	})
	reg := prometheus.NewRegistry()
	must.Succeed(t, ExportRaftMetrics(reg))
	begin(t, t.TempDir()).ready(t)
	if n, err := testutil.GatherAndCount(reg, "raft_boltdb_storeLogs", "raft_fsm_applyBatch"); err != nil || n != 2 {
		t.Errorf("%d series, %v", n, err)
	}
	if err := ExportRaftMetrics(reg); err == nil {
		t.Error("registered twice")
	}
}
