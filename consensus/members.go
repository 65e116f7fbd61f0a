package consensus

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
	"praefect/fsm/state"
)

// Members returns the members by name, as the latest entry of the log about
// them has it; it may not be committed yet. None before this instance belongs
// to a cluster.
func (n *Node) Members() []member.Member {
	servers, _, err := n.configuration()
	if err != nil {
		return nil // no cluster yet, or none any more: there are no members
	}
	return n.members(servers)
}

func (n *Node) members(servers []raft.Server) []member.Member {
	view := n.View()
	members := make([]member.Member, 0, len(servers))
	for _, s := range servers {
		m := member.Member{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter}
		m.Name = n.nameOf(view, m)
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member.Member) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	return members
}

// nameOf returns the name of the instance in its latest registration, or the name that the settings
// have for its address.
func (n *Node) nameOf(view *state.State, m member.Member) string {
	if m.ID == n.disk.ID {
		return n.config.Name
	}
	for _, in := range slices.Backward(view.Instances) {
		if in.ID == m.ID {
			return in.Name
		}
	}
	for _, p := range n.config.Peers {
		if p.Addr == m.Address {
			return p.Name
		}
	}
	return ""
}

// admits tells whether an instance may connect: one of the settings, or a
// member, which an operator may have added without them.
func (n *Node) admits(name, id string) bool {
	if slices.ContainsFunc(n.config.Peers, func(p member.Peer) bool { return p.Name == name }) {
		return true
	}
	return slices.ContainsFunc(n.Members(), func(m member.Member) bool { return m.ID == id })
}

// Refuses tells whether the member's port for peers refuses connections, which
// proves that its process is gone: nothing else closes the port. An error means
// that it cannot be told.
func (n *Node) Refuses(ctx context.Context, m member.Member) (bool, error) {
	if m.Address == "" || n.transport == nil {
		return false, errors.New("there is no way to it that is known")
	}
	return n.transport.Refuses(ctx, m.Address)
}

// hosts are where the listed peers are.
func hosts(peers []member.Peer) (all []string) {
	for _, p := range peers {
		if host, _, err := net.SplitHostPort(p.Addr); err == nil {
			all = append(all, host)
		}
	}
	return all
}
