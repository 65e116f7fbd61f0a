package admin

import "praefect/fsm/condition"

// Local is an instance's part in the cluster, as the instance itself knows it.
type Local struct {
	// Leader is the name of the leader, empty if none is known.
	Leader string
	// Members are the members of the cluster, empty if they are not known.
	Members []LocalMember
}

// LocalMember is a member of the cluster.
type LocalMember struct{ ID, Name string }

// RaftStatusRequest asks how the instances are.
type RaftStatusRequest struct {
}

// RaftStatusResponse tells how they are.
type RaftStatusResponse struct {
	Schema int `json:"schema"`
	// Instance is the name of the instance that answered.
	Instance string `json:"instance"`
	RaftView
	// CanLose is how many more voters may fail before there is no quorum.
	CanLose int `json:"can_lose"`
	// Health is the worst of Conditions, which are the conditions of the instances.
	Health     condition.Health      `json:"health"`
	Conditions []condition.Condition `json:"conditions"`
}

// RaftView is the view that one instance has of all of them.
type RaftView struct {
	ClusterID   string `json:"cluster_id"`
	Term        uint64 `json:"term"`
	CommitIndex uint64 `json:"commit_index"`
	// Leader is the name of the leader, empty if there is none.
	Leader string `json:"leader"`
	// FeatureLevel is the level that every member of the cluster knows. It rises by itself when
	// all of them run a later version.
	FeatureLevel int `json:"feature_level"`
	// OwnView tells that no leader could be asked: the instance that answered knows this by itself.
	OwnView bool `json:"own_view,omitempty"`
	// Instances are all members, and the peers of the settings that are none, by name.
	Instances []Instance `json:"instances"`
}

// InstanceState is the part that an instance has in the cluster now.
type InstanceState string

// The states of an instance.
const (
	Leader    InstanceState = "leader"
	Follower  InstanceState = "follower"
	Candidate InstanceState = "candidate"
	// Joining is a non-voter that catches up.
	Joining InstanceState = "joining"
	// NotMember instances are peers in the settings of the instance that was asked, and
	// no members: they were removed, or have not joined yet.
	NotMember InstanceState = "not a member"
	// Unreachable instances do not answer the one that was asked.
	Unreachable InstanceState = "unreachable"
)

// Instance is one member in a RaftView, or one that should be.
type Instance struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	// Addr is the host:port of its Raft port.
	Addr string `json:"addr"`
	// ClientAddr is where clients reach it.
	ClientAddr string        `json:"client_addr,omitempty"`
	State      InstanceState `json:"state"`
	Voter      bool          `json:"voter"`
	Version    string        `json:"version"`
	// FeatureLevel is that of its program, 0 if it is not registered.
	FeatureLevel int `json:"feature_level"`
	// LastContactMillis is how long ago it and the leader heard of each other:
	// 0 for the leader, nil if that is not known.
	LastContactMillis *int64 `json:"last_contact_ms"`
	AppliedIndex      uint64 `json:"applied_index"`
	// Behind is how many of the committed entries it has not applied.
	Behind uint64 `json:"behind"`
	// LeaseMillis is the remaining time of its lease; 0 if it has none.
	LeaseMillis int64 `json:"lease_ms"`
	// Error is why it is not well, if it is not.
	Error string `json:"error,omitempty"`
}

// canLose is how many of the voters that answer may fail until the rest is
// less than a majority of all voters. Without a leader there is nothing to lose.
func canLose(view RaftView) int {
	if view.Leader == "" || view.OwnView {
		return 0
	}
	voters, alive := 0, 0
	for _, i := range view.Instances {
		if !i.Voter {
			continue
		}
		voters++
		if i.State != Unreachable {
			alive++
		}
	}
	return max(0, alive-(voters/2+1))
}
