package elector

import (
	"slices"

	"praefect/fsm/state"
)

// raise proposes the feature level that every live incarnation knows, once every
// member of the cluster has one. ▲ elector-raises-without-member: A member that is away counts: it
// may come back with the version that it had, and would not know the entries of the log by then.
func (d *decider) raise() {
	instances := d.View.Instances
	if len(d.Members) == 0 || len(instances) == 0 {
		return
	}
	for _, id := range d.Members {
		if !slices.ContainsFunc(instances, func(in state.Instance) bool { return in.ID == id }) {
			return
		}
	}
	level := instances[0].FeatureLevel()
	for i := range instances {
		level = min(level, instances[i].FeatureLevel())
	}
	if level > d.View.FeatureLevel() {
		d.propose(state.Command{Raise: &state.Raise{Level: level}})
	}
}
