package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/session"
	"praefect/fsm/state"
	"praefect/proxy/admin"
)

// instances carries out the changes of operators to the instances. Requests that only the leader
// can answer are passed on to it.
type instances struct {
	node    *consensus.Node
	session *session.Session
	way     way
}

// way leads a request to the leader, over one hop.
type way struct {
	node *consensus.Node
	// last is true at the port for peers: a request that came from another instance goes no
	// further.
	last bool
}

// leader returns a client of the leader's service, nil if this instance leads.
func (w way) leader() (*admin.Client, error) {
	cc, leader, err := w.node.LeaderConn()
	switch {
	case errors.Is(err, consensus.ErrLeads):
		return nil, nil
	case err != nil:
		return nil, noLeader(w.node, err)
	case w.last:
		return nil, admin.Errorf(admin.NoLeader, "this instance does not lead any more; %s does", leader)
	}
	return admin.NewClient(cc), nil
}

// nextStep is where an operator goes on whose command found no leader.
const nextStep = "praefectctl raft status shows the instances; docs/operations/quorum-lost.md is for those that do not come back"

// noLeader says why there is no leader to ask, and which instances could help.
func noLeader(node *consensus.Node, err error) *admin.Error {
	ctx := context.Background() // PeersStatus has a bound of its own
	var silent []string
	for _, s := range node.PeersStatus(ctx) {
		if s.Err != "" && !s.NotMember {
			silent = append(silent, s.Name)
		}
	}
	if len(silent) == 0 {
		return admin.Errorf(admin.NoLeader, "%v; every instance answers, so one is about to be elected: ask again (%s)", err, nextStep)
	}
	return admin.Errorf(admin.NoLeader, "%v; these instances do not answer from here: %s: start them, or mend the network between; nothing can be changed until a majority answers (%s)",
		err, strings.Join(silent, ", "), nextStep)
}

// atLeader carries a request out here if this instance leads, else there.
func atLeader[Response any](w way, here func() (Response, error), there func(*admin.Client) (Response, error)) (Response, error) {
	client, err := w.leader()
	switch {
	case err != nil:
		var none Response
		return none, err
	case client != nil:
		return there(client)
	}
	return here()
}

// Instances implements admin.Membership.
func (m instances) Instances(ctx context.Context) (admin.RaftView, error) {
	client, err := m.way.leader()
	if err == nil && client != nil {
		view, err := client.Instances(ctx)
		if err == nil || ctx.Err() != nil {
			return view, err
		}
	}
	return m.ownView(ctx), nil
}

// ownView is the view that this instance has by itself.
func (m instances) ownView(ctx context.Context) admin.RaftView {
	self := m.node.Status()
	_, leads := m.node.Leading()
	view := admin.RaftView{ClusterID: self.ClusterID, Term: self.Term, CommitIndex: self.CommitIndex, OwnView: !leads}
	state := m.node.View()
	view.FeatureLevel = state.FeatureLevel()
	for _, s := range m.node.PeersStatus(ctx) {
		if s.ID == self.Leader {
			view.Leader = s.Name
		}
		i := describeInstance(s, self.CommitIndex)
		for _, in := range state.Instances { // the latest life is the last
			if in.ID == s.ID {
				i.FeatureLevel = in.FeatureLevel()
			}
		}
		view.Instances = append(view.Instances, i)
	}
	return view
}

func describeInstance(s member.InstanceStatus, committed uint64) admin.Instance {
	i := admin.Instance{
		Name: s.Name, ID: s.ID, Addr: s.Address, ClientAddr: s.ClientAddress, Voter: s.Voter, Version: s.Version,
		AppliedIndex: s.AppliedIndex, Behind: max(committed, s.AppliedIndex) - s.AppliedIndex,
		LeaseMillis: s.LeaseLeft.Milliseconds(), Error: cmp.Or(s.Err, s.Problem),
	}
	switch {
	case s.NotMember:
		i.State, i.Behind = admin.NotMember, 0
	case s.Err != "":
		i.State, i.Behind = admin.Unreachable, 0
	case s.State == "Leader":
		i.State = admin.Leader
	case s.State == "Candidate":
		i.State = admin.Candidate
	case !s.Voter:
		i.State = admin.Joining
	default:
		i.State = admin.Follower
	}
	if s.Err == "" && s.LastContact >= 0 {
		contact := s.LastContact.Milliseconds()
		i.LastContactMillis = &contact
	}
	return i
}

// AddInstance implements admin.Membership.
func (m instances) AddInstance(ctx context.Context, r admin.AddRequest) (admin.Done, error) {
	return atLeader(m.way, func() (admin.Done, error) {
		if err := m.node.AddPeer(ctx, r.Name, r.Addr); err != nil {
			return admin.Done{}, memberError(err)
		}
		note := "it takes part as a non-voter now, and votes once it has caught up"
		return admin.Done{Note: note + m.record(ctx, state.ChangeAdded, r.Name, r.By)}, nil
	}, func(c *admin.Client) (admin.Done, error) { return c.AddInstance(ctx, r) })
}

// RemoveInstance implements admin.Membership.
func (m instances) RemoveInstance(ctx context.Context, r admin.RemoveRequest) (admin.Done, error) {
	return atLeader(m.way, func() (admin.Done, error) {
		err := m.node.RemovePeer(ctx, r.Name, r.Force)
		if err != nil {
			return admin.Done{}, memberError(err)
		}
		note := "it never comes back under its former id: to take part again it begins with an empty raft.data_dir"
		return admin.Done{Note: note + m.record(ctx, state.ChangeRemoved, r.Name, r.By)}, nil
	}, func(c *admin.Client) (admin.Done, error) { return c.RemoveInstance(ctx, r) })
}

// record adds a change of the members to the history. The change is made even if its line is not:
// record says no more than that the line is missing.
func (m instances) record(ctx context.Context, what, instance, by string) string {
	results, err := m.node.Propose(ctx, state.Command{Record: &state.Record{What: what, Instance: instance, By: by}})
	switch {
	case err != nil:
		return "; it may be missing in the history: " + err.Error()
	case results[0].Refusal != nil:
		return "; it is missing in the history: " + results[0].Refusal.Error()
	}
	return ""
}

// RetireInstance implements admin.Membership.
func (m instances) RetireInstance(ctx context.Context, r admin.RetireRequest) (admin.Done, error) {
	return atLeader(m.way, func() (admin.Done, error) {
		ctx, cancel := context.WithTimeout(ctx, retireTimeout)
		defer cancel()
		_, err := m.session.Retire(ctx, r.Name, r.By)
		if errors.Is(err, elector.ErrNoInstance) && wasRetired(m.node.View(), r.Name) {
			return admin.Done{Already: true, Note: "praefectctl history shows when and why"}, nil
		}
		if err != nil {
			return admin.Done{}, memberError(err)
		}
		return admin.Done{Note: "what it had under way is in doubt and is resolved by comparison; it stays a member"}, nil
	}, func(c *admin.Client) (admin.Done, error) { return c.RetireInstance(ctx, r) })
}

// wasRetired tells whether the last life of the instance with this name was retired. The cluster
// retires an instance by itself as soon as its Raft port refuses connections, mostly before an
// operator asks for it.
func wasRetired(view *state.State, name string) bool {
	return slices.ContainsFunc(view.InstanceHistory, func(c state.Change) bool {
		return c.What == state.ChangeRetired && c.Instance == name
	})
}

// retireTimeout bounds the wait for the end of a lease, and for the entry of the log.
const retireTimeout = 8 * time.Second

// TransferLeadership implements admin.Membership.
func (m instances) TransferLeadership(ctx context.Context, r admin.TransferRequest) (admin.Done, error) {
	return atLeader(m.way, func() (admin.Done, error) {
		if self := m.node.Status(); r.Name == self.Name || r.Name == self.ID {
			return admin.Done{Already: true}, nil
		}
		if err := m.node.Transfer(ctx, r.Name); err != nil {
			return admin.Done{}, memberError(err)
		}
		return admin.Done{}, nil
	}, func(c *admin.Client) (admin.Done, error) { return c.TransferLeadership(ctx, r) })
}

// memberError puts an error of a change of members into the terms of an operator.
// One that is not known here leaves open whether anything has changed.
func memberError(err error) error {
	switch {
	case errors.Is(err, membership.ErrNoMember), errors.Is(err, elector.ErrNoInstance):
		return admin.Errorf(admin.NotFound, "%v", err)
	case errors.Is(err, membership.ErrUnsafe), errors.Is(err, elector.ErrAlive):
		return admin.Errorf(admin.Refused, "%v", err)
	case errors.Is(err, library.ErrNotLeader), errors.Is(err, session.ErrNotLeading):
		return admin.Errorf(admin.NoLeader, "%v", err)
	}
	return admin.Errorf(admin.OutcomeUnknown, "%v; praefectctl raft status tells", err)
}
