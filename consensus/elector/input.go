package elector

import (
	"time"

	"praefect/consensus/health"
	"praefect/consensus/settings"
	"praefect/fsm/condition"
	"praefect/fsm/state"
)

// Configured is one virtual storage as the operator wrote it, its storages in
// the order of the first succession.
type Configured struct {
	VirtualStorage string
	Storages       []string
	// Primary is the storage that the settings call the primary, empty if they
	// name none. It only orders the first succession.
	Primary string
}

// Leases is the leader's table of leases, as decisions need it.
type Leases interface {
	// AppliedByAll tells whether every instance that may hold a lease has
	// applied the index, and acts by it.
	AppliedByAll(index state.Index, now time.Duration) bool
	// Leased tells whether an incarnation may hold a lease.
	Leased(incarnation state.Incarnation, now time.Duration) bool
	// LastReceived tells when it was last heard of in this term, if it was.
	LastReceived(incarnation state.Incarnation) (time.Duration, bool)
}

// Settings are the elector's times. Defaults are filled in by WithDefaults.
type Settings struct {
	// Failover switches automatic failover on.
	Failover bool
	// WarmUp is how long after the start of the leader's process no storage is
	// failed over that was not seen alive: it may still be starting.
	WarmUp time.Duration
	// MassWindow is the time within which more than half of all storages must
	// die for automatic failover to wait for an operator.
	MassWindow time.Duration
	// ReturnAfter is how long a storage must be well before it serves again. It
	// doubles, up to ReturnAfterMax, with every time that it died in the last
	// FlapWindow.
	ReturnAfter, ReturnAfterMax, FlapWindow time.Duration
	// AdmitWait is how long a fenced storage that is to serve again is waited
	// for if no instance is connected to it.
	AdmitWait time.Duration
	// ProbeAfter is the silence after which an instance's Raft port is looked at.
	ProbeAfter time.Duration
	// RetireAfter is the silence that proves that an instance is gone.
	RetireAfter time.Duration
}

// WithDefaults fills in the defaults of zero fields, but for Failover.
func (s Settings) WithDefaults() Settings {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&s.WarmUp, 5 * time.Second},
		{&s.MassWindow, 5 * time.Second},
		{&s.ReturnAfter, 10 * time.Second},
		{&s.ReturnAfterMax, 5 * time.Minute},
		{&s.FlapWindow, time.Hour},
		{&s.AdmitWait, 500 * time.Millisecond},
		{&s.ProbeAfter, time.Second},
		{&s.RetireAfter, 10 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return s
}

// Input is all that a decision depends on. Nothing in it is changed.
type Input struct {
	Settings   Settings
	Configured []Configured
	// Now is the leader's clock, Wall the time of day for times that people set.
	Now  time.Duration
	Wall time.Time
	// Started is when the leader's process started.
	Started time.Duration
	// Self is the leader's own incarnation.
	Self   state.Incarnation
	View   *state.State
	Leases Leases
	// Counts are the counted reports of the voters about the storages.
	Counts map[health.Name]health.Count
	// Refusals counts the instances that lately found the Raft port of an
	// incarnation refusing connections.
	Refusals map[state.Incarnation]int
	// Members are the ids of all members of the cluster, non-voters too;
	// none if that is not known. An instance that is no member was removed by an operator.
	Members []string
	// Reports are the reports of the instances about their settings in this term.
	Reports map[state.Incarnation]settings.Report
	// Unclaimed says why a virtual storage that is not in the state cannot be defined yet, "" if it
	// can. Nil lets every one be defined.
	Unclaimed func(virtualStorage string) string
	// Gone are the incarnations that an operator says are gone, with the operator's name and reason.
	Gone map[state.Incarnation]string
	// Silent is since when incarnations were not heard of, by this clock, as former leaders
	// told.
	Silent map[state.Incarnation]time.Duration
}

// Memory is the memory of a leader between decisions. The zero value remembers
// nothing.
type Memory struct {
	// died is since when a storage is dead that was in use then; alive are the ones
	// that were seen to be so in this term.
	died  map[health.Name]time.Duration
	alive map[health.Name]bool
	well  map[health.Name]wellness
	// unseen is since when a storage could be admitted as serving, and no instance
	// knows its disk.
	unseen map[health.Name]time.Duration
	// known is since when an incarnation is known in this term.
	known map[state.Incarnation]time.Duration
}

// wellness is since when a storage is well, on which disk.
type wellness struct {
	since time.Duration
	disk  string
}

// Decision is the next step. The commands are proposed in the term of the decision
// or not at all, in their order, before the next decision is made.
type Decision struct {
	Commands []state.Command
	// Alarms are conditions that only an operator can end.
	Alarms []condition.Raised
	// Rejoining is when, by Input.Now, storages serve again that are out and well.
	Rejoining map[health.Name]time.Duration
	// Probe are incarnations whose Raft port is to be looked at, and Silent since when each
	// is silent.
	Probe  []state.Incarnation
	Silent map[state.Incarnation]time.Duration
	Memory Memory
}
