package consensus

import "time"

// Status is what the instance knows of its own part in the cluster.
type Status struct {
	// ID is the instance's random id, Name the operator's label.
	ID, Name string
	// ClusterID is the same at every instance; empty before the first entry.
	ClusterID string
	// State is "Leader", "Follower", "Candidate" or "Shutdown".
	State string
	// Leader is the id of the leader, empty if it is not known.
	Leader string
	Term   uint64
	// CommitIndex and AppliedIndex count every entry of the log; View().Index
	// counts those with commands.
	CommitIndex, AppliedIndex uint64
	// LastContact is how long ago this instance heard of the leader, 0 if it
	// is the leader, negative if it never did.
	LastContact time.Duration
}

// Status returns the present status.
func (n *Node) Status() Status {
	_, leader := n.raft.LeaderWithID()
	s := Status{
		ID:           n.ID(),
		Name:         n.config.Name,
		ClusterID:    n.View().ClusterID,
		State:        n.raft.State().String(),
		Leader:       string(leader),
		Term:         n.raft.CurrentTerm(),
		CommitIndex:  n.raft.CommitIndex(),
		AppliedIndex: n.raft.AppliedIndex(),
	}
	if s.Leader != s.ID {
		s.LastContact = -1
		if at := n.raft.LastContact(); !at.IsZero() {
			s.LastContact = time.Since(at)
		}
	}
	return s
}
