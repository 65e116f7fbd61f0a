package member

import "time"

// Status is the instance's part in the cluster, as the instance itself knows it.
type Status struct {
	// ID is the instance's random id, Name the operator's label.
	ID, Name string
	// ClusterID is the same at every instance; empty before the first entry.
	ClusterID string
	// State is "Leader", "Follower", "Candidate", "Shutdown", or "Founding"
	// before the instance belongs to a cluster.
	State string
	// Leader is the id of the leader, empty if it is not known.
	Leader string
	Term   uint64
	// CommitIndex and AppliedIndex count every entry of the log; View().Index
	// counts the ones with commands.
	CommitIndex, AppliedIndex uint64
	// LastIndex is the last entry of the log, committed or not, and LastTerm its term.
	LastIndex, LastTerm uint64
	// LastContact is how long ago this instance heard of the leader, 0 if it
	// is the leader, negative if it never did.
	LastContact time.Duration
}

// InstanceStatus is one instance's status, as it tells others.
type InstanceStatus struct {
	Status
	// Address is that of its port for peers, ClientAddress where clients reach
	// it.
	Address, ClientAddress string
	Version                string
	// Voter tells whether the instance that was asked takes it for a voter.
	Voter bool
	// Profile must be the same everywhere.
	Profile Profile
	// LeaseLeft is the remaining time of its lease.
	LeaseLeft time.Duration
	// Problem is why the instance does not serve, empty if nothing keeps it.
	Problem string
	// NotMember tells that the settings list it as a peer and it is no member: it was
	// removed, or has not joined yet.
	NotMember bool
	// Err is why it did not answer; then of the rest only ID, Name, Address and
	// Voter are known.
	Err string
}

// Leadership is a term in which this instance leads.
type Leadership struct {
	// Term is Raft's.
	Term uint64
	// Since is an instant of Config.Now at or after the election, from which all grants of former
	// leaders are counted down.
	Since time.Duration
}
