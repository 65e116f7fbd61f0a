package membership

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/member"
)

// The errors of a change of members, besides library.ErrNotLeader and the errors of the Raft library,
// after which the change may yet come.
var (
	// ErrNoMember: no member has that name or id.
	ErrNoMember = errors.New("no such member")
	// ErrUnsafe: the others would not be a quorum.
	ErrUnsafe = errors.New("not safe")
)

// AddPeer lets the instance of that name, whose port for peers is at addr, join
// as a non-voter; it becomes a voter when it has caught up. One that lists this
// cluster's instances in its settings joins by itself if it is listed there, too;
// this is for one that is not. Only the leader can do it.
func (g *Group) AddPeer(ctx context.Context, name, addr string) error {
	if _, leading := g.library.Leading(); !leading || g.library.Transport == nil {
		return library.ErrNotLeader
	}
	met, err := g.library.Transport.Meet(ctx, addr, name)
	if err != nil {
		return err
	}
	servers, index, err := g.library.Configuration()
	if err != nil {
		return err
	}
	a := application{Name: name, ID: met.ID, Addr: addr}
	v, ok := judge(a, g.members(servers), g.disk.ID, g.library.Transport.AdvertiseAddr())
	switch {
	case ok:
		return g.place(ctx, servers, index, a)
	case v.Why != "":
		return fmt.Errorf("%w: %s", ErrUnsafe, v.Why)
	}
	return nil // it is a member already
}

// RemovePeer takes the member of that name or id out of the cluster permanently:
// to come back it begins with an empty data directory. It is ErrUnsafe if the
// voters that are left and answer would not be a quorum, unless forced, and for
// the leader itself, which is to hand over first. Only the leader can do it.
func (g *Group) RemovePeer(ctx context.Context, name string, force bool) error {
	m, err := g.memberToChange(name)
	if err != nil {
		return err
	}
	if m.ID == g.disk.ID {
		return fmt.Errorf("%w: %s leads; transfer leadership first", ErrUnsafe, m)
	}
	if m.Voter && !force {
		left, alive := 0, 0
		for _, s := range g.PeersStatus(ctx) {
			if s.Voter && s.ID != m.ID {
				left++
				if s.Err == "" {
					alive++
				}
			}
		}
		if alive <= left/2 {
			return fmt.Errorf("%w: of the %d voters that would be left only %d answer", ErrUnsafe, left, alive)
		}
	}
	return g.change(ctx, func() raft.Future {
		return g.library.Raft().RemoveServer(raft.ServerID(m.ID), 0, library.EnqueueTimeout)
	})
}

// Transfer makes the named voter the leader, or the one that is best prepared if
// name is empty. Only the leader can do it.
func (g *Group) Transfer(ctx context.Context, name string) error {
	var start func() raft.Future
	if name == "" {
		if _, leading := g.library.Leading(); !leading {
			return library.ErrNotLeader
		}
		start = g.library.Raft().LeadershipTransfer
	} else {
		m, err := g.memberToChange(name)
		switch {
		case err != nil:
			return err
		case m.ID == g.disk.ID:
			return nil
		case !m.Voter:
			return fmt.Errorf("%w: %s does not vote yet", ErrUnsafe, m)
		}
		start = func() raft.Future {
			return g.library.Raft().LeadershipTransferToServer(raft.ServerID(m.ID), raft.ServerAddress(m.Address))
		}
	}
	return g.change(ctx, start)
}

// changeTimeout bounds the wait for a change of the members, or of the leader.
const changeTimeout = 5 * time.Second

// addVoter makes an instance a voter, or gives a voter another address. index is that of the members
// which it is decided by, 0 for any.
func (g *Group) addVoter(ctx context.Context, id raft.ServerID, addr raft.ServerAddress, index uint64) error {
	return g.change(ctx, func() raft.Future { return g.library.Raft().AddVoter(id, addr, index, library.EnqueueTimeout) })
}

// change waits until the library has carried out a change of the members, or of the leader.
func (g *Group) change(ctx context.Context, start func() raft.Future) error {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	_, err := library.Await(ctx, g.library, start)
	return err
}

// memberToChange finds a member, if this instance leads.
func (g *Group) memberToChange(name string) (member.Member, error) {
	if _, leading := g.library.Leading(); !leading || g.library.Transport == nil {
		return member.Member{}, library.ErrNotLeader
	}
	for _, m := range g.Members() {
		if m.Name == name || m.ID == name {
			return m, nil
		}
	}
	return member.Member{}, fmt.Errorf("%w: %q", ErrNoMember, name)
}
