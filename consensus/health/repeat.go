package health

import (
	"slices"
	"time"

	"praefect/fsm/reachability"
)

// RepeatDoubt is how often an instance repeats a report that is not all well.
const RepeatDoubt = 100 * time.Millisecond

// IdleAge is for how long the reports of an instance count that is idle and finds every storage well.
const IdleAge = time.Second

// Idle tells whether the connections of an instance were not used lately.
func Idle(all []reachability.Observation) bool {
	return !slices.ContainsFunc(all, func(o reachability.Observation) bool { return o.InUse })
}

// AllWell tells whether an instance reports that every storage is well.
func AllWell(reports []Report) bool {
	return len(reports) > 0 && !slices.ContainsFunc(reports, func(r Report) bool { return r.Status != Well })
}

// RepeatAfter returns after which time an instance repeats its reports, which count for age. A report
// that all is well must only not expire, while the leader may be about to decide by one of a doubt.
// One of an instance that is idle in calm counts for longer.
func RepeatAfter(reports []Report, calm bool, age time.Duration) time.Duration {
	switch {
	case len(reports) > 0 && !AllWell(reports):
		return RepeatDoubt
	case len(reports) > 0 && calm:
		return IdleAge / 2
	}
	return max(RepeatDoubt, age/2)
}
