package router

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"praefect/fsm/state"
)

var key = state.Key{VirtualStorage: "default", RelativePath: "a.git"}

// fixture is a state in which everything of interest can be brought about.
type fixture struct {
	state *state.State
	inc   state.Incarnation
}

func (w *fixture) apply(cmds ...state.Command) []state.Result {
	index := w.state.Index + 1
	next, results := w.state.Apply(index, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(index), Incarnation: w.inc, Number: uint64(index), Commands: cmds,
	})
	w.state = next
	return results
}

// newFixture has three serving storages with disks A, B and C.
func newFixture() *fixture {
	w := &fixture{state: &state.State{}}
	w.inc = w.apply(state.Command{Register: &state.Register{ID: "i", Name: "i", ClusterID: "c"}})[0].Incarnation
	w.apply(state.Command{Define: &state.Define{VirtualStorage: "default", Storages: []string{"gitaly-1", "gitaly-2", "gitaly-3"}}})
	for name, disk := range map[string]string{"gitaly-1": "A", "gitaly-2": "B", "gitaly-3": "C"} {
		w.reach(name, disk)
	}
	for _, name := range []string{"gitaly-2", "gitaly-3"} {
		w.fill(name)
	}
	return w
}

func (w *fixture) reach(name, disk string) {
	w.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: disk}})
}

func (w *fixture) fill(name string) {
	s := w.state.VirtualStorage("default").Storage(name)
	w.apply(state.Command{Compared: &state.Compared{VirtualStorage: "default", Storage: name, Since: s.Since}})
	w.apply(state.Command{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: name, FilesystemID: s.FilesystemID, Backfilled: s.Since}})
}

func (w *fixture) open() {
	w.apply(state.Command{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.PrimaryOnly}})
}

func (w *fixture) markBehind(agreeing ...string) {
	w.apply(state.Command{MarkBehind: &state.MarkBehind{VirtualStorage: "default", Paths: []string{"a.git"}, Primary: "gitaly-1", Epoch: 1, Agreeing: agreeing}})
}

func (w *fixture) close(inDoubt bool) {
	w.apply(state.Command{Close: &state.CloseIntent{VirtualStorage: "default", Paths: []string{"a.git"}, InDoubt: inDoubt}})
}

// all is a ReachabilityOf for whom every storage is up but those named.
func all(except ...string) ReachabilityOf {
	disks := map[string]string{"gitaly-1": "A", "gitaly-2": "B", "gitaly-3": "C"}
	return func(name string) Reachability {
		if slices.Contains(except, name) {
			return Reachability{Why: errors.New("connection refused")}
		}
		return Reachability{OK: true, FilesystemID: disks[name]}
	}
}

// choices are the storages that a read may go to.
func choices(t *testing.T, view *state.State, read Read, reach ReachabilityOf) []string {
	t.Helper()
	found := make(map[string]bool)
	for n := range 6 {
		// intn answers as every draw could.
		draw := n
		name, err := RouteRead(view, read, reach, func(max int) int { v := draw % max; draw /= max; return v })
		if err != nil {
			return nil
		}
		found[name] = true
	}
	var names []string
	for _, name := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
		if found[name] {
			names = append(names, name)
		}
	}
	return names
}

func TestRouteRead_choices(t *testing.T) {
	three := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	for _, tc := range []struct {
		name  string
		given func(w *fixture)
		read  Read
		reach ReachabilityOf
		want  []string
	}{
		{"clean", func(*fixture) {}, Read{}, all(), three},
		{"clean, primary only", func(*fixture) {}, Read{PrimaryOnly: true}, all(), three[:1]},
		{"clean, primary gone", func(*fixture) {}, Read{}, all("gitaly-1"), three[1:]},
		{"clean, primary only and gone", func(*fixture) {}, Read{PrimaryOnly: true}, all("gitaly-1"), nil},
		{"one was tried", func(*fixture) {}, Read{Tried: three[1:2]}, all(), []string{"gitaly-1", "gitaly-3"}},
		{"all were tried", func(*fixture) {}, Read{Tried: three}, all(), nil},
		{"primary-only intent", func(w *fixture) { w.open() }, Read{}, all(), three[:1]},
		{"primary-only intent, primary gone", func(w *fixture) { w.open() }, Read{}, all("gitaly-1"), nil},
		{"behind", func(w *fixture) { w.open(); w.markBehind("gitaly-1", "gitaly-3"); w.close(false) }, Read{}, all(), []string{"gitaly-1", "gitaly-3"}},
		{"all others behind, primary gone", func(w *fixture) { w.open(); w.markBehind("gitaly-1"); w.close(false) }, Read{}, all("gitaly-1"), nil},
		{"in doubt", func(w *fixture) { w.open(); w.markBehind(three...); w.close(true) }, Read{}, all(), three[:1]},
		{"in doubt, primary gone", func(w *fixture) { w.open(); w.markBehind(three...); w.close(true) }, Read{}, all("gitaly-1"), three[1:]},
		{"another disk at one", func(*fixture) {}, Read{}, func(name string) Reachability {
			r := all()(name)
			if name == "gitaly-2" {
				r.FilesystemID = "X"
			}
			return r
		}, []string{"gitaly-1", "gitaly-3"}},
		{"one is backfilling", func(w *fixture) { w.reach("gitaly-2", "X") }, Read{}, func(name string) Reachability {
			r := all()(name)
			if name == "gitaly-2" {
				r.FilesystemID = "X"
			}
			return r
		}, []string{"gitaly-1", "gitaly-3"}},
		{"fewest requests under way", func(*fixture) {}, Read{}, func(name string) Reachability {
			r := all()(name)
			if name != "gitaly-3" {
				r.Outstanding = 1
			}
			return r
		}, three[2:]},
		{"one is stalled, which is worse than busy", func(*fixture) {}, Read{}, func(name string) Reachability {
			r := all()(name)
			r.Stalled, r.Outstanding = name == "gitaly-1", 0
			if name != "gitaly-1" {
				r.Outstanding = 9
			}
			return r
		}, three[1:]},
		{"all are stalled", func(*fixture) {}, Read{}, func(name string) Reachability {
			r := all()(name)
			r.Stalled = true
			return r
		}, three},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newFixture()
			tc.given(w)
			tc.read.Key = key
			if got := choices(t, w.state, tc.read, tc.reach); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRoute_refusals(t *testing.T) {
	w := newFixture()
	elsewhere := state.Key{VirtualStorage: "elsewhere", RelativePath: "a.git"}
	none := all("gitaly-1", "gitaly-2", "gitaly-3")
	zero := func(int) int { return 0 }
	for _, tc := range []struct {
		name string
		call func() error
		want Kind
	}{
		{"read elsewhere", func() error { _, err := RouteRead(w.state, Read{Key: elsewhere}, all(), zero); return err }, UnknownVirtualStorage},
		{"read, all gone", func() error { _, err := RouteRead(w.state, Read{Key: key}, none, zero); return err }, NoInSync},
		{"write elsewhere", func() error { _, err := RouteWrite(w.state, []state.Key{elsewhere}, false, all()); return err }, UnknownVirtualStorage},
		{"write, primary gone", func() error { _, err := RouteWrite(w.state, []state.Key{key}, false, all("gitaly-1")); return err }, PrimaryUnreachable},
		{"storage elsewhere", func() error { _, err := RouteStorage(w.state, "elsewhere", all(), zero); return err }, UnknownVirtualStorage},
		{"storage, all gone", func() error { _, err := RouteStorage(w.state, "default", none, zero); return err }, NoStorage},
		{"maintenance elsewhere", func() error { _, _, err := RouteMaintenance(w.state, elsewhere, all()); return err }, UnknownVirtualStorage},
		{"maintenance, all gone", func() error { _, _, err := RouteMaintenance(w.state, key, none); return err }, NoInSync},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var refusal *Refusal
			if err := tc.call(); !errors.As(err, &refusal) || refusal.Kind != tc.want || err.Error() == "" {
				t.Errorf("got %v, want kind %d", err, tc.want)
			}
		})
	}
}

func TestRouteWrite_goesToThePrimaryOfAllKeys(t *testing.T) {
	w := newFixture()
	other := state.Key{VirtualStorage: "default", RelativePath: "b.git"}
	got, err := RouteWrite(w.state, []state.Key{key, other}, false, all())
	if err != nil || got.Primary != "gitaly-1" || got.Epoch != w.state.VirtualStorage("default").Epoch {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Two repositories with different primaries: the answer names both, and one is repaired in a while.
func TestRouteWrite_namesTwoPrimaries(t *testing.T) {
	w := newFixture()
	w.reach("gitaly-2", "B")
	w.fill("gitaly-2")
	w.open()
	w.markBehind("gitaly-1")
	w.close(false)
	if r := w.apply(state.Command{AcceptLoss: &state.AcceptLoss{Key: key, Storage: "gitaly-2"}}); r[0].Refusal != nil {
		t.Fatal(r[0].Refusal)
	}
	_, err := RouteWrite(w.state, []state.Key{{VirtualStorage: "default", RelativePath: "b.git"}, key}, false, all())
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Kind != TwoPrimaries || refusal.Other != "gitaly-1" || refusal.Storage != "gitaly-2" {
		t.Errorf("got %v", err)
	}
}

// TestRoute_neverNamesAStorageThatMayMissAWrite checks the router against the
// words of the promise (P4), on random entries and connections.
func TestRoute_neverNamesAStorageThatMayMissAWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newFixture()
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				w.open()
			case 1:
				w.markBehind(append([]string{"gitaly-1"}, rapid.SampledFrom([][]string{nil, {"gitaly-2"}, {"gitaly-3"}}).Draw(t, "agreeing")...)...)
			case 2:
				w.close(rapid.Bool().Draw(t, "in doubt"))
			case 3:
				w.reach("gitaly-2", rapid.SampledFrom([]string{"B", "X"}).Draw(t, "disk"))
			case 4:
				w.fill("gitaly-2")
			}
		}
		reach := map[string]Reachability{}
		for _, name := range []string{"gitaly-1", "gitaly-2", "gitaly-3"} {
			reach[name] = Reachability{
				OK:           rapid.Bool().Draw(t, "ok"),
				FilesystemID: rapid.SampledFrom([]string{"A", "B", "C", "X"}).Draw(t, "id"),
				Stalled:      rapid.Bool().Draw(t, "stalled"),
				Outstanding:  rapid.Int64Range(0, 2).Draw(t, "outstanding"),
			}
		}
		vs, entry := w.state.VirtualStorage("default"), w.state.Entry(key)
		name, err := RouteRead(w.state, Read{Key: key}, func(name string) Reachability { return reach[name] }, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "draw") })
		if err == nil {
			s := vs.Storage(name)
			if s.State != state.Serving || entry.IsBehind(name) || !reach[name].OK || reach[name].FilesystemID != s.FilesystemID {
				t.Errorf("read routed to %+v, entry %+v, reach %+v", s, entry, reach[name])
			}
			if p, _ := vs.Primary(entry); entry.HasPrimaryOnly() && p.Name != name {
				t.Errorf("read of a marked repository routed to %q", name)
			}
		}
		if write, err := RouteWrite(w.state, []state.Key{key}, false, func(name string) Reachability { return reach[name] }); err == nil {
			if p, ok := vs.Primary(entry); !ok || p.Name != write.Primary || !reach[p.Name].OK {
				t.Errorf("write routed to %q", write.Primary)
			}
		}
	})
}

// TestExplain_isWhatTheRouterDoes: the explanation names the storages that reads and writes go to, and why they go nowhere
// else.
func TestExplain_isWhatTheRouterDoes(t *testing.T) {
	three := []string{"gitaly-1", "gitaly-2", "gitaly-3"}
	for _, tc := range []struct {
		name    string
		given   func(w *fixture)
		reach   ReachabilityOf
		reads   []string
		rule    Rule
		primary string
		refused Kind // of the write, if primary is empty
	}{
		{"clean", func(*fixture) {}, all(), three, AnyInSync, "gitaly-1", 0},
		{"clean, one away", func(*fixture) {}, all("gitaly-2"), []string{"gitaly-1", "gitaly-3"}, AnyInSync, "gitaly-1", 0},
		{"primary-only intent", func(w *fixture) { w.open() }, all(), three[:1], PrimaryOnly, "gitaly-1", 0},
		{"in doubt", func(w *fixture) { w.open(); w.markBehind(three...); w.close(true) }, all(), three, PrimaryFirst, "gitaly-1", 0},
		{"behind, primary away", func(w *fixture) { w.open(); w.markBehind("gitaly-1"); w.close(false) }, all("gitaly-1"), nil, AnyInSync, "", PrimaryUnreachable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newFixture()
			tc.given(w)
			got := Explain(w.state, key, true, tc.reach)
			if !slices.Equal(got.Reads, tc.reads) || got.Rule != tc.rule || got.Write.Primary != tc.primary {
				t.Errorf("got %+v", got)
			}
			var refusal *Refusal
			if tc.primary == "" && (!errors.As(got.WriteRefused, &refusal) || refusal.Kind != tc.refused) {
				t.Errorf("a write is refused with %v", got.WriteRefused)
			}
			if tc.reads == nil && !errors.As(got.ReadRefused, &refusal) {
				t.Errorf("a read is refused with %v", got.ReadRefused)
			}
			if tc.primary != "" && (got.Write.Votes || got.Write.Mute != "gitaly-1") {
				t.Errorf("without a backchannel: got %+v", got.Write)
			}
		})
	}
}
