package elector

import (
	"fmt"
	"slices"
	"testing"

	"praefect/fsm/state"
)

func TestDecide_raisesTheLevel(t *testing.T) {
	for _, r := range []struct {
		name    string
		levels  []int
		members []string
		want    int
	}{
		{name: "every member knows it", levels: []int{2, 3, 2}, members: []string{"i0", "i1", "i2"}, want: 2},
		{name: "one does not", levels: []int{2, 1, 2}, members: []string{"i0", "i1", "i2"}, want: 1},
		{name: "one does not say", levels: []int{2, 2, 0}, members: []string{"i0", "i1", "i2"}, want: 1},
		{name: "a member is away", levels: []int{2, 2}, members: []string{"i0", "i1", "i2"}, want: 1},
		{name: "one that joins is away", levels: []int{2, 2}, members: []string{"i0", "i1", "joining"}, want: 1},
		{name: "the members are not known", levels: []int{2, 2}, want: 1},
		{name: "a former life of an older program", levels: []int{1, 2, 2, 2}, members: []string{"i1", "i2", "i3"}, want: 1},
		{name: "nothing to do", levels: []int{1, 1}, members: []string{"i0", "i1"}, want: 1},
	} {
		t.Run(r.name, func(t *testing.T) {
			fixture := newFixture(t)
			fixture.in.View = &state.State{}
			for i, level := range r.levels {
				fixture.apply(0, state.Command{Register: &state.Register{ID: fmt.Sprint("i", i), ClusterID: "c", Level: level}})
			}
			fixture.in.Members = r.members
			d := Decide(fixture.in, Memory{})
			raises := slices.DeleteFunc(d.Commands, func(c state.Command) bool { return c.Raise == nil })
			fixture.apply(fixture.in.View.Instances[0].Incarnation, raises...)
			if got := fixture.in.View.FeatureLevel(); got != r.want || len(raises) != r.want-1 {
				t.Errorf("level %d after %d commands, want %d", got, len(raises), r.want)
			}
		})
	}
}
