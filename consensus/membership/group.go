package membership

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/consensus/store"
	"praefect/fsm/state"
)

// Group is the cluster as its instance knows it.
type Group struct {
	config   setup.Config
	disk     *store.Disk
	library  *library.Library
	meetings *meetings
	waiting  atomic.Pointer[string] // why there is no cluster yet
	outcast  atomic.Pointer[string] // the peer that has refused this instance as one that was removed
	describe func(*member.InstanceStatus)
}

// New returns the group of the library's instance. describe adds the facts that only the daemon
// has to the status of this instance.
func New(c setup.Config, d *store.Disk, l *library.Library, describe func(*member.InstanceStatus)) *Group {
	return &Group{config: c, disk: d, library: l, describe: describe, meetings: newMeetings(c.Peers)}
}

// Listen opens the port for peers, if there is to be one.
func Listen(ctx context.Context, g *Group) (err error) {
	c := g.config
	if c.ListenAddr == "" {
		return nil
	}
	g.library.Transport, err = peer.Listen(ctx, peer.Config{
		Name: c.Name, ID: g.disk.ID, ListenAddr: c.ListenAddr, AdvertiseAddr: c.AdvertiseAddr, Credentials: c.Credentials,
		Cluster: func() string { return g.disk.Known().ClusterID },
		Admit:   g.admits, Hosts: hosts(c.Peers), MetOther: g.meetsOther, Removed: g.library.WasRemoved, Outcast: g.castOut, Logger: c.Logger, Wrap: c.Wrap, Dial: c.Fakes.Dial, Listen: c.Fakes.Listen,
	})
	if err != nil {
		return fmt.Errorf("raft.listen_addr %q: %w", c.ListenAddr, err)
	}
	if c.Credentials.CertificatePath == "" {
		c.Logger.Warn("peers know each other by a shared secret: keep raft.listen_addr on a private network, or use certificates")
	}
	g.library.Clients = peer.NewClients(g.library.Transport)
	context.AfterFunc(g.disk.Guard.Healthy, func() {
		g.library.Transport.Kill()
		c.Logger.Error("this instance takes itself out of the cluster", "err", g.disk.Guard.Failure())
	})
	return nil
}

// Members returns the members by name, as the latest entry of the log about
// them has it; it may not be committed yet. None before this instance belongs
// to a cluster.
func (g *Group) Members() []member.Member {
	servers, _, err := g.library.Configuration()
	if err != nil {
		return nil // no cluster yet, or none any more: there are no members
	}
	return g.members(servers)
}

func (g *Group) members(servers []raft.Server) []member.Member {
	view := g.library.View()
	members := make([]member.Member, 0, len(servers))
	for _, s := range servers {
		m := member.Member{ID: string(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter}
		m.Name = g.nameOf(view, m)
		members = append(members, m)
	}
	slices.SortFunc(members, func(a, b member.Member) int {
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	return members
}

// nameOf returns the name of the instance in its latest registration, or the name that the settings
// have for its address.
func (g *Group) nameOf(view *state.State, m member.Member) string {
	if m.ID == g.disk.ID {
		return g.config.Name
	}
	for _, in := range slices.Backward(view.Instances) {
		if in.ID == m.ID {
			return in.Name
		}
	}
	for _, p := range g.config.Peers {
		if p.Addr == m.Address {
			return p.Name
		}
	}
	return ""
}

// admits tells whether an instance may connect: one of the settings, or a
// member, which an operator may have added without them.
func (g *Group) admits(name, id string) bool {
	if slices.ContainsFunc(g.config.Peers, func(p member.Peer) bool { return p.Name == name }) {
		return true
	}
	return slices.ContainsFunc(g.Members(), func(m member.Member) bool { return m.ID == id })
}

// Refuses tells whether the member's port for peers refuses connections, which
// proves that its process is gone: nothing else closes the port. An error means
// that it cannot be told.
func (g *Group) Refuses(ctx context.Context, m member.Member) (bool, error) {
	if m.Address == "" || g.library.Transport == nil {
		return false, errors.New("there is no way to it that is known")
	}
	return g.library.Transport.Refuses(ctx, m.Address)
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

// Leader returns the member that leads, as far as this instance knows.
func (g *Group) Leader() (member.Member, error) {
	r := g.library.Raft()
	if r == nil {
		return member.Member{}, fmt.Errorf("%w: %w", library.ErrNoLeader, library.ErrNoState)
	}
	addr, id := r.LeaderWithID()
	if id == "" {
		return member.Member{}, library.ErrNoLeader
	}
	for _, m := range g.Members() {
		if m.ID == string(id) {
			return m, nil
		}
	}
	return member.Member{ID: string(id), Address: string(addr)}, nil
}

// castOut notes that a peer has refused this instance as one that was removed. The watch of
// the members ends the instance.
func (g *Group) castOut(peer string) { g.outcast.CompareAndSwap(nil, &peer) }
