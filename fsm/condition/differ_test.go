package condition_test

import (
	"strings"
	"testing"
	"time"

	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// found is a state in which a verification found a replica of a.git on g2 different at the time.
func found(t *testing.T, at time.Time) *state.State {
	t.Helper()
	s, number := &state.State{}, uint64(0)
	key := state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	for _, c := range []state.Command{
		{Register: &state.Register{ID: "a", Name: "one", ClusterID: "cluster"}},
		{Define: &state.Define{VirtualStorage: "default", Storages: []string{"g1", "g2"}}},
		{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "g1", FilesystemID: "1"}},
		{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "g2", FilesystemID: "2"}},
		{Compared: &state.Compared{VirtualStorage: "default", Storage: "g2", Since: 4}},
		{Rejoin: &state.Rejoin{VirtualStorage: "default", Storage: "g2", FilesystemID: "2", Backfilled: 4}},
		{Open: &state.OpenIntent{VirtualStorage: "default", Paths: []string{"a.git"}, Kind: state.Open}},
		{MarkDoubt: &state.MarkDoubt{Key: key, Primary: "g1", AsOf: 7, Differences: []state.Difference{{Storage: "g2", What: "its references differ"}}}},
	} {
		number++
		s = apply(t, s, number, at, c)
	}
	return s
}

func apply(t *testing.T, s *state.State, number uint64, at time.Time, c state.Command) *state.State {
	t.Helper()
	b := state.Batch{Version: state.CommandVersion, Number: number, Time: at.UnixMilli(), Commands: []state.Command{c}}
	if c.Register == nil {
		b.Incarnation = 1
	}
	next, results := s.Apply(s.Index+1, b)
	if results[0].Refusal != nil {
		t.Fatal(results[0].Refusal)
	}
	return next
}

func TestDiffering(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	names := func(s *state.State, now time.Time) (names string) {
		for _, r := range condition.Differing(s, now) {
			names += string(r.Name) + " "
			if !strings.Contains(r.Text, "a.git on g2 (its references differ)") || r.VirtualStorage != "default" {
				t.Errorf("%+v", r)
			}
		}
		return names
	}
	doubt := found(t, now)
	key := state.Key{VirtualStorage: "default", RelativePath: "a.git"}
	behind := apply(t, doubt, 100, now, state.Command{ResolveDoubt: &state.ResolveDoubt{
		Key: key, Authority: "g1", AsOf: doubt.Index, Doubts: []state.DoubtRef{{Incarnation: 1, At: doubt.Index}},
	}})
	repaired := apply(t, behind, 101, now, state.Command{MarkInSync: &state.MarkInSync{Key: key, Storages: []string{"g2"}, AsOf: behind.Index}})
	for name, row := range map[string]struct {
		s    *state.State
		at   time.Time
		want string
	}{
		"nothing":               {&state.State{}, now, ""},
		"in doubt":              {doubt, now, "replica-differs "},
		"in doubt for days":     {doubt, now.Add(48 * time.Hour), "replica-differs "},
		"behind":                {behind, now, "replica-differs "},
		"repaired":              {repaired, now.Add(time.Hour), "replica-differed "},
		"repaired for a day":    {repaired, now.Add(25 * time.Hour), ""},
		"a clock that is ahead": {repaired, now.Add(-time.Hour), "replica-differed "},
	} {
		if got := names(row.s, row.at); got != row.want {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}
