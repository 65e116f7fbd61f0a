package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"praefect/fsm/state"
)

// TestPlan_saysForWhatItWaits: the reason is data, and names who or what is waited for.
func TestPlan_saysForWhatItWaits(t *testing.T) {
	const self = 9
	for _, row := range []struct {
		name  string
		vs    *state.VirtualStorage
		entry *state.Entry
		away  []string
		want  Waiting
	}{
		{"clean", three(nil), nil, nil, Waiting{}},
		{"to be copied", three(nil), &state.Entry{Behind: []string{"g2"}}, nil, Waiting{}},
		{
			"another instance writes", three(nil),
			&state.Entry{Behind: []string{"g2"}, Intents: []state.Intent{{Incarnation: 8, Kind: state.Open}}}, nil,
			Waiting{Reason: LiveIntent, Incarnation: 8},
		},
		{
			"a bound", three(nil),
			&state.Entry{Intents: []state.Intent{inDoubt(3, time.Minute, "g1"), inDoubt(4, time.Second, "g2")}}, nil,
			Waiting{Reason: DoubtBound, Incarnation: 4, Storages: []string{"g2"}, Left: time.Second},
		},
		{
			"fenced source", three(storageState("g1", state.Fenced)), &state.Entry{Behind: []string{"g2", "g3"}}, nil,
			Waiting{Reason: NoSource, Storages: []string{"g1"}},
		},
		{"all behind", three(nil), &state.Entry{Behind: []string{"g1", "g2", "g3"}}, nil, Waiting{Reason: NoSource}},
		{"source away", three(nil), &state.Entry{Behind: []string{"g2"}}, []string{"g1"}, Waiting{Reason: SourceAway, Storages: []string{"g1"}}},
		{"targets away", three(nil), &state.Entry{Behind: []string{"g2", "g3"}}, []string{"g2", "g3"}, Waiting{Reason: TargetAway, Storages: []string{"g2", "g3"}}},
		{"target out", three(storageState("g3", state.Out)), &state.Entry{Behind: []string{"g3"}}, nil, Waiting{Reason: TargetOut, Storages: []string{"g3"}}},
		{
			"conflict", three(nil), &state.Entry{Behind: []string{"g3"}, Conflicts: []state.Conflict{{Storage: "g3"}}}, nil,
			Waiting{Reason: Conflict, Storages: []string{"g3"}},
		},
		{
			"advance", three(nil), &state.Entry{Advancing: "g4", Intents: []state.Intent{{Incarnation: 8, Kind: state.PrimaryOnly}}}, nil,
			Waiting{Reason: Advance, Storages: []string{"g4"}},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := Make(Situation{VS: row.vs, Entry: row.entry, Self: self, Left: bound, Reachable: func(s string) bool { return !slices.Contains(row.away, s) }})
			if diff := cmp.Diff(row.want, got.For); diff != "" {
				t.Errorf("waits (-want +got):\n%s", diff)
			}
		})
	}
}
