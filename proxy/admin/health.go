package admin

import "praefect/fsm/state"

// Health sums up a status in one word.
type Health string

// The sums of a status, from best to worst.
const (
	// Healthy: every storage serves and is reachable.
	Healthy Health = "healthy"
	// Degraded: everything is served, but a storage less is left to lose.
	Degraded Health = "degraded"
	// Unavailable: a virtual storage cannot be written, or a repository cannot
	// be read.
	Unavailable Health = "unavailable"
)

// Health is the worst of the virtual storages; without any, and without a
// leader, it is Unavailable.
// That a storage is behind is no matter of health while it is being repaired:
// in eventual mode every write leaves some behind for a moment.
func (r StatusResponse) Health() Health {
	if len(r.VirtualStorages) == 0 || r.OwnView {
		return Unavailable
	}
	worst := Healthy
	for _, vs := range r.VirtualStorages {
		switch vs.Health() {
		case Unavailable:
			return Unavailable
		case Degraded:
			worst = Degraded
		}
	}
	return worst
}

// Health tells how one virtual storage is.
func (v VirtualStorage) Health() Health {
	health, writable := Healthy, false
	for _, st := range v.Storages {
		if st.Name == v.Primary && st.Reachable {
			writable = true
		}
		if st.State != state.Serving || !st.Reachable || st.Slow {
			health = Degraded
		}
	}
	if !writable || v.Unavailable > 0 {
		return Unavailable
	}
	return health
}

// Health sums up how the instances are: without a leader they are Unavailable,
// and Degraded while one is away, has no lease or says that something is wrong
// with it. One that joins is no harm.
func (r RaftStatusResponse) Health() Health {
	if r.OwnView || r.Leader == "" {
		return Unavailable
	}
	for _, i := range r.Instances {
		if i.State == Unreachable || i.Error != "" || i.Voter && i.LeaseMillis <= 0 {
			return Degraded
		}
	}
	return Healthy
}
