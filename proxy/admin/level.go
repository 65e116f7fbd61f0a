package admin

import (
	"cmp"
	"slices"

	"praefect/fsm/state"
)

// Level is the feature level of the cluster. It rises by itself when every member runs a
// program that knows the next one.
type Level struct {
	// FeatureLevel is that of the replicated state.
	FeatureLevel int `json:"feature_level"`
	// Next is the highest one that the program of an instance knows; no less than FeatureLevel.
	Next int `json:"next_feature_level"`
	// HeldBackBy are the members because of which the level does not rise to Next, or could
	// not rise further, by name.
	HeldBackBy []HeldBack `json:"feature_level_held_back_by,omitempty"`
}

// HeldBack is a member that keeps the feature level from rising.
type HeldBack struct {
	Instance string `json:"instance"`
	// Level is the one that its program knows; 0 if it is not registered: it has not started
	// since it was retired, or its program is too old for the present level.
	Level int `json:"level"`
}

// levelOf is the feature level by the state and the members.
func levelOf(view *state.State, members []LocalMember) Level {
	level := Level{FeatureLevel: view.FeatureLevel(), Next: max(view.FeatureLevel(), state.Level)}
	for i := range view.Instances {
		level.Next = max(level.Next, view.Instances[i].FeatureLevel())
	}
	for i := range view.Instances {
		if in := &view.Instances[i]; in.FeatureLevel() < level.Next {
			level.HeldBackBy = append(level.HeldBackBy, HeldBack{Instance: in.Name, Level: in.FeatureLevel()})
		}
	}
	for _, m := range members {
		registered := slices.ContainsFunc(view.Instances, func(in state.Instance) bool { return in.ID == m.ID })
		if !registered && level.Next > 1 { // a program of level 1 is too old for nothing
			level.HeldBackBy = append(level.HeldBackBy, HeldBack{Instance: cmp.Or(m.Name, m.ID)})
		}
	}
	slices.SortStableFunc(level.HeldBackBy, func(a, b HeldBack) int { return cmp.Compare(a.Instance, b.Instance) })
	return level
}
