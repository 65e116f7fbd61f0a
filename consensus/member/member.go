// Package member has the values by which the packages of consensus describe the instances of a
// cluster: the members and listed peers, the status of each, and the term of the leader.
package member

import "fmt"

// Member is one instance of the cluster.
type Member struct {
	// ID is its random id, Name the operator's label; empty if it is not known yet. Address is the
	// host:port of its port for peers.
	ID, Name, Address string
	// Voter tells a voter from one that only follows.
	Voter bool
}

// String names the member for people.
func (m Member) String() string {
	if m.Name == "" {
		return fmt.Sprintf("%s at %s", m.ID, m.Address)
	}
	return fmt.Sprintf("%q", m.Name)
}

// Peer is another instance of the cluster, as the operator lists it.
type Peer struct {
	// Name is its label, unique in the list; Addr the host:port of its port for
	// peers.
	Name, Addr string
}
