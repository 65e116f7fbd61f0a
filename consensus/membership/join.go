package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/store"
)

// application is an instance's wish to be a member under its address.
type application struct {
	Name string `json:"name"`
	ID   string `json:"id"`
	Addr string `json:"addr"`
	// Member tells that it has been one.
	Member bool `json:"member,omitempty"`
}

// joinDecision is the leader's answer; no other instance gives one.
type joinDecision struct {
	// Removed tells a former member that it was removed.
	Removed bool `json:"removed,omitempty"`
	// Why the wish is not granted; empty if it is.
	Why string `json:"why,omitempty"`
}

const (
	tendInterval = 250 * time.Millisecond
	// restInterval is the same while every member is as it should be. It ends at whole multiples, at
	// which other parts of an idle instance wake up too.
	restInterval = time.Second
	// missed is how long a member that hears of no leader waits before it asks
	// the others whether it still is one.
	missed = 3 * time.Second
)

// ErrRemoved ends an instance that is no member of the cluster any more.
var ErrRemoved = errors.New("this instance was removed from the cluster; to join again it needs an empty raft.data_dir")

// Watch sees to it that this instance is a member under its present
// address, and as the leader that non-voters become voters. It calls stop if the
// instance was removed, and returns. An instance alone has nothing to see to.
func Watch(ctx context.Context, g *Group, stop context.CancelCauseFunc) {
	if g.library.Transport == nil {
		return
	}
	w := membershipWatch{group: g, caughtUp: make(map[string]time.Time), heard: time.Now(), compared: time.Now()}
	for {
		if err := w.look(ctx); err != nil {
			stop(err)
			return
		}
		wait := tendInterval
		if w.orderly {
			now := time.Now()
			wait = now.Truncate(restInterval).Add(restInterval).Sub(now)
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// membershipWatch is the memory of one watch; only its goroutine uses it.
type membershipWatch struct {
	group    *Group
	told     string               // the last complaint
	seen     firstSeen            // of this instance among the members
	heard    time.Time            // when a leader was last known
	caughtUp map[string]time.Time // since when each non-voter has been
	compared time.Time            // when the profiles were, last
	differ   string               // the difference found
	orderly  bool                 // a leader is known, this instance has its address, and all members vote
}

// look does one round. Its error ends this instance.
func (w *membershipWatch) look(ctx context.Context) error {
	g := w.group
	servers, _, err := g.library.Configuration()
	if err != nil {
		return nil // the library stops
	}
	var own *raft.Server
	for i := range servers {
		if string(servers[i].ID) == g.disk.ID {
			own = &servers[i]
		}
	}
	_, err = g.Leader()
	w.orderly = err == nil && own != nil && string(own.Address) == g.library.Transport.AdvertiseAddr() &&
		!slices.ContainsFunc(servers, func(s raft.Server) bool { return s.Suffrage != raft.Voter })
	if w.committed(own != nil) {
		if err := g.disk.Note(func(id *store.Identity) { id.Member = true }); err != nil {
			return fmt.Errorf("raft.data_dir %q: %w", g.config.DataDir, err)
		}
	}
	if err := g.library.WriteDownRemoved(); err != nil {
		return fmt.Errorf("raft.data_dir %q: %w", g.config.DataDir, err)
	}
	if by := g.outcast.Load(); by != nil && g.disk.Known().Member {
		return fmt.Errorf("%w (%q says so)", ErrRemoved, *by)
	}
	if _, leading := g.library.Leading(); leading {
		w.tell(ctx, w.lead(ctx, own))
		return nil
	}
	if _, err := g.Leader(); err == nil {
		w.heard = time.Now()
	}
	settled := own != nil && string(own.Address) == g.library.Transport.AdvertiseAddr()
	if settled && time.Since(w.heard) < missed {
		return nil
	}
	removed, why := w.apply(ctx)
	if removed {
		return ErrRemoved
	}
	if !settled {
		w.tell(ctx, why)
	}
	return nil
}

// firstSeen is the end of the log when this instance was first seen among its members, in
// that term.
type firstSeen struct{ term, last uint64 }

// committed tells whether the entry that made this instance a member is committed. Another
// leader may replace an entry that is not: an instance that had noted it would take
// itself for one that was removed. The library does not tell the entry's index, which is
// at most that of the end of the log at a later moment of the same term.
func (w *membershipWatch) committed(member bool) bool {
	r := w.group.library.Raft()
	term := r.CurrentTerm()
	if !member {
		w.seen = firstSeen{}
		return false
	}
	if w.seen.term != term || w.seen == (firstSeen{}) {
		w.seen = firstSeen{term: term, last: r.LastIndex()}
	}
	return r.CommitIndex() >= w.seen.last && r.CurrentTerm() == term
}

// tell logs a complaint when it is a new one.
func (w *membershipWatch) tell(ctx context.Context, why string) {
	if why != "" && why != w.told {
		w.group.config.Logger.WarnContext(ctx, "the members of the cluster are not yet as they should be", "why", why)
	}
	w.told = why
}

// apply asks all peers, of which the leader answers.
func (w *membershipWatch) apply(ctx context.Context) (removed bool, why string) {
	g := w.group
	a := application{Name: g.config.Name, ID: g.disk.ID, Addr: g.library.Transport.AdvertiseAddr(), Member: g.disk.Known().Member}
	why = "no leader was found to ask for it"
	for _, addr := range g.addresses() {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		v, err := callJoin.CallTo(asking, g.library.Clients, addr, a)
		cancel()
		if err == nil {
			return v.Removed, v.Why
		}
		if ctx.Err() != nil {
			return false, ""
		}
	}
	return false, why
}

// addresses are the addresses at which there may be a leader, the known one first.
func (g *Group) addresses() []string {
	seen := map[string]bool{"": true, g.library.Transport.AdvertiseAddr(): true}
	var all []string
	add := func(addr string) {
		if !seen[addr] {
			seen[addr] = true
			all = append(all, addr)
		}
	}
	if leader, err := g.Leader(); err == nil {
		add(leader.Address)
	}
	for _, m := range g.Members() {
		add(m.Address)
	}
	for _, p := range g.config.Peers {
		add(p.Addr)
	}
	return all
}

// letJoin answers an application, if this instance leads.
func (g *Group) letJoin(ctx context.Context, from peer.Addr, a application) (joinDecision, error) {
	if _, leading := g.library.Leading(); !leading {
		return joinDecision{}, status.Error(codes.FailedPrecondition, library.ErrNotLeader.Error())
	}
	if a.Name != from.Name || a.ID != from.ID || a.Addr == "" {
		return joinDecision{}, status.Error(codes.InvalidArgument, "an instance applies for itself, with its address")
	}
	servers, index, err := g.library.Configuration()
	if err != nil {
		return joinDecision{}, status.Error(codes.Unavailable, err.Error())
	}
	if v, ok := judge(a, g.members(servers), g.disk.ID, g.library.Transport.AdvertiseAddr()); !ok {
		return v, nil
	}
	if err := g.place(ctx, servers, index, a); err != nil {
		return joinDecision{Why: err.Error()}, nil
	}
	return joinDecision{}, nil
}

// judge tells whether the leader places the applicant among the members.
func judge(a application, members []member.Member, leader, leaderAddr string) (joinDecision, bool) {
	known := false
	for _, m := range members {
		switch {
		case m.ID == leader && m.Address != leaderAddr:
			return joinDecision{Why: "the leader has no address for others yet"}, false
		case m.ID == a.ID && m.Address == a.Addr:
			return joinDecision{}, false // it only has not heard of it yet
		case m.ID == a.ID:
			known = true
		case m.Address == a.Addr:
			return joinDecision{Why: fmt.Sprintf("%s is the address of the member %s (%s): if that one is gone for good, remove it (praefectctl raft remove)",
				a.Addr, m, m.ID)}, false
		case m.Name == a.Name:
			return joinDecision{Why: fmt.Sprintf("there is a member %s already, with the id %s at %s: if that one is gone for good, remove it (praefectctl raft remove)",
				m, m.ID, m.Address)}, false
		}
	}
	if !known && a.Member {
		return joinDecision{Removed: true}, false
	}
	return joinDecision{}, true
}

// place makes the applicant a member, as a non-voter, or gives the member that
// it is its present address.
func (g *Group) place(ctx context.Context, servers []raft.Server, index uint64, a application) error {
	id, addr := raft.ServerID(a.ID), raft.ServerAddress(a.Addr)
	for _, s := range servers {
		if s.ID == id && s.Suffrage == raft.Voter {
			return g.addVoter(ctx, id, addr, index)
		}
	}
	g.config.Logger.Info("an instance joins", "peer", a.Name, "id", a.ID, "addr", a.Addr)
	return g.change(ctx, func() raft.Future { return g.library.Raft().AddNonvoter(id, addr, index, library.EnqueueTimeout) })
}
