package consensus

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

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

// Status returns the present status.
func (n *Node) Status() Status {
	s := Status{ID: n.disk.id, Name: n.config.Name, ClusterID: n.View().ClusterID, State: "Founding", LastContact: -1}
	r := n.raft()
	if r == nil {
		return s
	}
	_, leader := r.LeaderWithID()
	s.State, s.Leader, s.Term = r.State().String(), string(leader), r.CurrentTerm()
	s.CommitIndex, s.AppliedIndex = r.CommitIndex(), r.AppliedIndex()
	s.LastIndex, s.LastTerm = r.LastIndex(), lastTerm(r)
	if s.Leader == s.ID {
		s.LastContact = 0
	} else if at := r.LastContact(); !at.IsZero() {
		s.LastContact = time.Since(at)
	}
	return s
}

// lastTerm is the term of the last entry of the log. The library tells it as a text only.
func lastTerm(r *raft.Raft) uint64 {
	term, err := strconv.ParseUint(r.Stats()["last_log_term"], 10, 64)
	if err != nil {
		return 0
	}
	return term
}

func (n *Node) appliedIndex() uint64 {
	if r := n.raft(); r != nil {
		return r.AppliedIndex()
	}
	return 0
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

// ownStatus is the status that this instance tells others.
func (n *Node) ownStatus() InstanceStatus {
	s := InstanceStatus{
		Status: n.Status(), ClientAddress: n.config.Address, Version: n.config.Version, Profile: n.config.Profile,
	}
	if n.transport != nil {
		s.Address = n.transport.AdvertiseAddr()
	}
	if n.services.LeaseLeft != nil {
		s.LeaseLeft = n.services.LeaseLeft()
	}
	if n.services.Problem != nil {
		s.Problem = n.services.Problem()
	}
	return s
}

// PeersStatus asks every member, this one included, how it is, and returns their
// answers in the order of Members; after them the answers of the peers in the settings that are no
// members. An instance that does not answer before ctx ends, and after 2 s at the latest, has the
// reason in Err.
func (n *Node) PeersStatus(ctx context.Context) []InstanceStatus {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	members := n.Members()
	strangers := strangers(n.config.Peers, members)
	all := make([]InstanceStatus, len(members)+len(strangers))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			all[i] = n.statusOf(ctx, m)
			all[i].Voter = m.Voter
		})
	}
	for i, p := range strangers {
		wg.Go(func() { all[len(members)+i] = n.strangerStatus(ctx, p) })
	}
	wg.Wait()
	return all
}

// strangers are the peers of the settings that are no members. A member that has the
// name or the address of a peer stands for it.
func strangers(peers []Peer, members []Member) []Peer {
	var left []Peer
	for _, p := range peers {
		if !slices.ContainsFunc(members, func(m Member) bool { return m.Name == p.Name || m.Address == p.Addr }) {
			left = append(left, p)
		}
	}
	return left
}

// strangerStatus is that of an instance that is no member.
func (n *Node) strangerStatus(ctx context.Context, p Peer) InstanceStatus {
	s := InstanceStatus{Status: Status{Name: p.Name, LastContact: -1}, Address: p.Addr, NotMember: true}
	if n.calls == nil {
		s.Err = "this instance has no way to others"
		return s
	}
	answer, err := to[InstanceStatus](ctx, n.calls, p.Addr, callStatus, nothing{})
	if err != nil {
		s.Err = problem(err)
		return s
	}
	s.Status, s.Version, s.ClientAddress, s.Profile = answer.Status, answer.Version, answer.ClientAddress, answer.Profile
	return s
}

// problem is the text of err for operators. Of a connection that cannot be made it keeps the reason
// alone: the instance and its address stand beside it.
func problem(err error) string {
	text := err.Error()
	if _, reason, ok := strings.Cut(text, `desc = "transport: Error while dialing: `); ok {
		return strings.TrimSuffix(reason, `"`)
	}
	return text
}

func (n *Node) statusOf(ctx context.Context, m Member) InstanceStatus {
	if m.ID == n.disk.id {
		return n.ownStatus()
	}
	failed := InstanceStatus{Status: Status{ID: m.ID, Name: m.Name}, Address: m.Address}
	if n.calls == nil {
		failed.Err = "this instance has no way to others"
		return failed
	}
	s, err := to[InstanceStatus](ctx, n.calls, m.Address, callStatus, nothing{})
	switch {
	case err != nil:
		failed.Err = problem(err)
	case s.ID != m.ID:
		failed.Err = "another instance answers at its address: " + s.ID
	default:
		return s
	}
	return failed
}
