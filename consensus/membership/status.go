package membership

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
)

// Status returns the present status.
func (g *Group) Status() member.Status {
	s := member.Status{ID: g.disk.ID, Name: g.config.Name, ClusterID: g.library.View().ClusterID, State: "Founding", LastContact: -1}
	r := g.library.Raft()
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

// ownStatus is the status that this instance tells others.
func (g *Group) ownStatus() member.InstanceStatus {
	s := member.InstanceStatus{
		Status: g.Status(), ClientAddress: g.config.Address, Version: g.config.Version, Profile: g.config.Profile,
	}
	if g.library.Transport != nil {
		s.Address = g.library.Transport.AdvertiseAddr()
	}
	g.describe(&s)
	return s
}

// PeersStatus asks every member, this one included, how it is, and returns their
// answers in the order of Members; after them the answers of the peers in the settings that are no
// members. An instance that does not answer before ctx ends, and after 2 s at the latest, has the
// reason in Err.
func (g *Group) PeersStatus(ctx context.Context) []member.InstanceStatus {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	members := g.Members()
	strangers := strangers(g.config.Peers, members)
	all := make([]member.InstanceStatus, len(members)+len(strangers))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			all[i] = g.statusOf(ctx, m)
			all[i].Voter = m.Voter
		})
	}
	for i, p := range strangers {
		wg.Go(func() { all[len(members)+i] = g.strangerStatus(ctx, p) })
	}
	wg.Wait()
	return all
}

// strangers are the peers of the settings that are no members. A member that has the
// name or the address of a peer stands for it.
func strangers(peers []member.Peer, members []member.Member) []member.Peer {
	var left []member.Peer
	for _, p := range peers {
		if !slices.ContainsFunc(members, func(m member.Member) bool { return m.Name == p.Name || m.Address == p.Addr }) {
			left = append(left, p)
		}
	}
	return left
}

// strangerStatus is that of an instance that is no member.
func (g *Group) strangerStatus(ctx context.Context, p member.Peer) member.InstanceStatus {
	s := member.InstanceStatus{Status: member.Status{Name: p.Name, LastContact: -1}, Address: p.Addr, NotMember: true}
	answer, why := g.ask(ctx, p.Addr)
	if s.Err = why; why != "" {
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

func (g *Group) statusOf(ctx context.Context, m member.Member) member.InstanceStatus {
	if m.ID == g.disk.ID {
		return g.ownStatus()
	}
	s, why := g.ask(ctx, m.Address)
	switch {
	case why == "" && s.ID == m.ID:
		return s
	case why == "":
		why = "another instance answers at its address: " + s.ID
	}
	return member.InstanceStatus{Status: member.Status{ID: m.ID, Name: m.Name}, Address: m.Address, Err: why}
}

// ask asks the instance at an address for its status; why tells operators why it does not answer.
func (g *Group) ask(ctx context.Context, addr string) (s member.InstanceStatus, why string) {
	if g.library.Clients == nil {
		return s, "this instance has no way to others"
	}
	s, err := callStatus.CallTo(ctx, g.library.Clients, addr, nothing{})
	if err != nil {
		return s, problem(err)
	}
	return s, ""
}
