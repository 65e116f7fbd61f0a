package admin

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"praefect/fsm/state"
)

// TestLevelOf_namesWhoHoldsItBack: an older program, and a member that is not registered, be it too old for the level.
func TestLevelOf_namesWhoHoldsItBack(t *testing.T) {
	three := []LocalMember{{"a", "praefect-1"}, {"b", "praefect-2"}, {"c", "praefect-3"}}
	instances := func(levels ...int) (list []state.Instance) {
		for i, level := range levels {
			list = append(list, state.Instance{Incarnation: state.Incarnation(i + 1), ID: three[i].ID, Name: three[i].Name, Level: level})
		}
		return list
	}
	own := state.Level
	for _, row := range []struct {
		name string
		view *state.State
		want Level
	}{
		{"all alike", &state.State{Level: own, Instances: instances(own, own, own)}, Level{FeatureLevel: own, Next: own}},
		{"about to rise", &state.State{Level: own, Instances: instances(own+1, own+1, own+1)}, Level{FeatureLevel: own, Next: own + 1}},
		{"one runs the former version", &state.State{Level: own, Instances: instances(own+1, own, own+1)},
			Level{FeatureLevel: own, Next: own + 1, HeldBackBy: []HeldBack{{"praefect-2", own}}}},
		{"one is not registered", &state.State{Level: own + 1, Instances: instances(own+1, own+1)},
			Level{FeatureLevel: own + 1, Next: own + 1, HeldBackBy: []HeldBack{{"praefect-3", 0}}}},
	} {
		if diff := cmp.Diff(row.want, levelOf(row.view, three)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
	}
}
