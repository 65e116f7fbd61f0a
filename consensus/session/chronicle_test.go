package session_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/consensus/elector"
	"praefect/fsm/state"
	"praefect/test/must"
)

// lines are what the instances log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// line is one line about a change of roles.
type line struct {
	Msg, Level, Leader, Change, Cause, By, Evidence, Storage, Peer, Primary string
	VirtualStorage                                                          string `json:"virtual_storage"`
	RelativePath                                                            string `json:"relative_path"`
	PrimaryBefore                                                           string `json:"primary_before"`
	TookMillis                                                              *int64 `json:"took_ms"`
	Moved, Unavailable, Behind                                              *int
	CleanMoved                                                              *bool `json:"clean_moved"`
	Index, Epoch                                                            uint64
}

// changes are the lines since the last call; each has all fields.
func (w *testCluster) changes() []line {
	w.t.Helper()
	w.logged.mu.Lock()
	defer w.logged.mu.Unlock()
	var all []line
	for text := range strings.Lines(w.logged.text.String()) {
		var l line
		must.Succeed(w.t, json.Unmarshal([]byte(text), &l))
		if l.Msg != "a change of roles" {
			continue
		}
		if l.TookMillis == nil || l.Moved == nil || l.Unavailable == nil || l.Behind == nil || l.CleanMoved == nil || l.Index == 0 {
			w.t.Errorf("a field is missing: %s", text)
		}
		all = append(all, l)
	}
	w.logged.text.Reset()
	return all
}

// one expects exactly one line, of that change.
func (w *testCluster) one(change string) line {
	w.t.Helper()
	w.pass(50 * time.Millisecond)
	all := w.changes()
	if len(all) != 1 || all[0].Change != change {
		w.t.Fatalf("want one line of %s, got %+v", change, all)
	}
	return all[0]
}

// wrote makes a repository one that only g1 has.
func (w *testCluster) wrote(path string) {
	inc := w.nodes[0].inc
	w.apply(inc, state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{path}, Kind: state.PrimaryOnly}})
	w.apply(inc, state.Command{MarkBehind: &state.MarkBehind{
		VirtualStorage: vsName, Paths: []string{path}, Primary: "g1", Epoch: w.vs().Epoch, Agreeing: []string{"g1"},
	}})
	w.apply(inc, state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{path}}})
}

// repaired makes all storages have a repository again.
func (w *testCluster) repaired(path string) {
	w.t.Helper()
	inc, key := w.nodes[0].inc, state.Key{VirtualStorage: vsName, RelativePath: path}
	w.apply(inc, state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{path}, Kind: state.PrimaryOnly}})
	e := locked(w.nodes[0], func() *state.Entry { return w.view.Entry(key) })
	if r := w.apply(inc, state.Command{MarkInSync: &state.MarkInSync{Key: key, Storages: e.Behind, AsOf: e.Changed}}); r[0].Refusal != nil {
		w.t.Fatal(r[0].Refusal)
	}
	w.apply(inc, state.Command{Close: &state.CloseIntent{VirtualStorage: vsName, Paths: []string{path}}})
}

// TestChanges_oneLineEach plays each change of who serves what, and reads its line.
func TestChanges_oneLineEach(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.wrote("a.git")
		w.changes()

		w.kill("g1", w.nodes...)
		w.within(50*time.Millisecond, "the failover", w.stands(withoutG1))
		got := w.one("failover")
		if got.Level != "WARN" || got.VirtualStorage != vsName || got.Storage != "g1" || got.Cause != state.WhyDead || got.By != "automatic" ||
			got.PrimaryBefore != "g1" || got.Primary != "g2" || *got.TookMillis <= 0 || got.Epoch != w.vs().Epoch || got.Leader != "i0" {
			t.Errorf("failover: %+v", got)
		}
		if *got.Moved != 1 || *got.Unavailable != 1 || *got.Behind != 0 || !*got.CleanMoved {
			t.Errorf("failover: moved %d, unavailable %d, behind %d, clean %t", *got.Moved, *got.Unavailable, *got.Behind, *got.CleanMoved)
		}
		if n := strings.Count(got.Evidence, "ago: dead"); n < 2 || !strings.Contains(got.Evidence, "praefect-") {
			t.Errorf("the evidence names %d instances: %q", n, got.Evidence)
		}

		w.revive("g1")
		w.await("the return", w.stands(backAgain))
		if got := w.one("return"); got.Storage != "g1" || got.Cause != "rejoined" || !strings.Contains(got.Evidence, "well, connected since index") || *got.Unavailable != 0 {
			t.Errorf("return: %+v", got)
		}

		w.repaired("a.git")
		for _, row := range []struct {
			request elector.Request
			change  string
			storage string
			primary string
		}{
			{elector.Request{Verb: elector.Promote, Storage: "g3", By: "operator: promote g3 (alice)"}, "promote", "g2", "g3"},
			{elector.Request{Verb: elector.Drain, Storage: "g3", By: "operator: drain g3 (alice)"}, "drain", "g3", "g1"},
		} {
			_, _, err := switchOver(t.Context(), w.nodes[0], row.request)
			must.Succeed(t, err)
			got := w.one(row.change)
			if got.By != row.request.By || got.Level != "INFO" || got.Storage != row.storage || got.Primary != row.primary || !strings.Contains(got.Evidence, "new writes waited for") || *got.TookMillis <= 0 {
				t.Errorf("%s: %+v", row.change, got)
			}
		}
		w.apply(w.nodes[0].inc, state.Command{Undrain: &state.Undrain{VirtualStorage: vsName, Storage: "g3", By: "operator: undrain"}})
		w.pass(50 * time.Millisecond)
		if all := w.changes(); len(all) == 0 || all[0].Change != "undrain" || all[0].By != "operator: undrain" {
			t.Errorf("undrain: %+v", all)
		}
		w.pass(time.Minute)
		w.changes()

		if got := w.storageStates(); got != healthy {
			t.Fatalf("got %s", got)
		}
		w.wrote("a.git")
		w.pass(50 * time.Millisecond)
		w.changes()
		if r := w.apply(w.nodes[0].inc, state.Command{AcceptLoss: &state.AcceptLoss{Key: state.Key{VirtualStorage: vsName, RelativePath: "a.git"}, Storage: "g2", By: "operator: accept"}}); r[0].Refusal != nil {
			t.Fatal(r[0].Refusal)
		}
		if got := w.one("accept-loss"); got.RelativePath != "a.git" || got.Storage != "g2" || got.By != "operator: accept" || got.Level != "WARN" || *got.Moved != 1 || *got.CleanMoved {
			t.Errorf("accepted loss: %+v", got)
		}
	})
}

// TestChanges_removals: of a storage, a virtual storage and an instance, with its retirement.
func TestChanges_removals(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.changes()
		leader := w.nodes[0].inc
		if r := w.apply(leader, state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1", "g2"}, By: "operator: storage remove g3"}}); r[0].Refusal != nil {
			t.Fatal(r[0].Refusal)
		}
		w.pass(50 * time.Millisecond)
		all := w.changes()
		if len(all) == 0 || all[0].Change != "remove-storage" || all[0].Storage != "g3" || all[0].By != "operator: storage remove g3" {
			t.Fatalf("removal of a storage: %+v", all)
		}
		w.apply(leader, state.Command{Define: &state.Define{VirtualStorage: "other", Storages: []string{"o1"}}})
		if got := w.one("define-virtual-storage"); got.VirtualStorage != "other" || got.Primary != "o1" {
			t.Errorf("a new virtual storage: %+v", got)
		}
		w.apply(leader, state.Command{RemoveVirtualStorage: &state.RemoveVirtualStorage{VirtualStorage: "other", Epoch: 1}})
		if got := w.one("remove-virtual-storage"); got.VirtualStorage != "other" || got.PrimaryBefore != "o1" {
			t.Errorf("a removed virtual storage: %+v", got)
		}
		w.apply(leader, state.Command{Record: &state.Record{What: state.ChangeRemoved, Instance: "praefect-2", By: "operator: remove"}})
		if got := w.one("remove-instance"); got.Peer != "praefect-2" || got.By != "operator: remove" {
			t.Errorf("a removed instance: %+v", got)
		}
		w.change(func() { w.nodes[2].cut, w.nodes[2].refuses = true, true })
		w.await("its retirement", func() bool { return !w.live(w.nodes[2]) })
		if got := w.one("retire-instance"); got.Peer != "praefect-2" || got.Cause != string(state.ProofRefused) || !strings.Contains(got.Evidence, "refuses connections of") || got.Level != "WARN" {
			t.Errorf("a retired instance: %+v", got)
		}
	})
}

// TestChanges_nextLeaderTellsWhatItEnds: the failover that one leader began and the next one ended is one line, of the
// latter, with the time since the fence.
func TestChanges_nextLeaderTellsWhatItEnds(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		w.changes()
		w.kill("g1", w.nodes...)
		w.change(func() { w.nodes[2].lags = true }) // the fence is not applied by all
		w.within(50*time.Millisecond, "the fence", w.stands("g1 fenced g2 serving g3 serving "))
		w.elect(w.nodes[1])
		w.pass(300 * time.Millisecond)
		w.change(func() { w.nodes[2].lags = false })
		w.within(1200*time.Millisecond, "the end of the failover", w.stands(withoutG1))
		if got := w.one("failover"); got.Leader != "i1" || got.Cause != state.WhyDead || *got.TookMillis < 300 {
			t.Errorf("got %+v", got)
		}
	})
}
