package elector

import (
	"time"

	"praefect/consensus/verdict"
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

// Leases is what is decided by: the leader's table of leases.
type Leases interface {
	// AppliedByAll tells whether every instance that may hold a lease has
	// applied the index, and acts by it.
	AppliedByAll(index state.Index, now time.Duration) bool
	// Leased tells whether an incarnation may hold a lease.
	Leased(incarnation state.Incarnation, now time.Duration) bool
	// LastHeard tells when it was last heard of in this term, if it was.
	LastHeard(incarnation state.Incarnation) (time.Duration, bool)
}

// Settings are the elector's times. Defaults are filled in by WithDefaults.
type Settings struct {
	// Failover switches automatic failover on.
	Failover bool
	// WarmUp is how long after the start of the leader's process nothing is
	// failed over: the storages may still be starting.
	WarmUp time.Duration
	// MassWindow is the time within which more than half of all storages must
	// die for automatic failover to wait for an operator.
	MassWindow time.Duration
	// ReturnAfter is how long a storage must be well before it serves again. It
	// doubles, up to ReturnAfterMax, with every time that it died in the last
	// FlapWindow.
	ReturnAfter, ReturnAfterMax, FlapWindow time.Duration
	// ProbeAfter is the silence after which an instance's Raft port is looked at.
	ProbeAfter time.Duration
	// RetireAfter is the silence that proves that an instance is gone.
	RetireAfter time.Duration
}

// WithDefaults fills in what is zero, but for Failover.
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
	// Now is the leader's clock, Wall the time of day for what people set.
	Now  time.Duration
	Wall time.Time
	// Started is when the leader's process started, Since when its term began.
	Started, Since time.Duration
	// Self is the leader's own incarnation.
	Self   state.Incarnation
	View   *state.State
	Leases Leases
	// Tally is what the voters say of the storages.
	Tally map[verdict.Name]verdict.Count
	// Refusals counts the instances that lately found the Raft port of an
	// incarnation refusing connections.
	Refusals map[state.Incarnation]int
}

// Memory is what a leader remembers between decisions. The zero value remembers
// nothing.
type Memory struct {
	dead map[verdict.Name]time.Duration // since when
	well map[verdict.Name]wellness
}

// wellness is since when a storage is well, on which disk.
type wellness struct {
	since time.Duration
	disk  string
}

// Decision is what to do. The commands are proposed in the term of the decision
// or not at all, in their order, before the next decision is made.
type Decision struct {
	Commands []state.Command
	// Alarms are what only a person can resolve, one sentence each.
	Alarms []string
	// Probe are incarnations whose Raft port is to be looked at.
	Probe  []state.Incarnation
	Memory Memory
}
