package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/member"
)

// leadership is the knowledge about the leader.
type leadership struct {
	mu      sync.Mutex
	own     member.Leadership // zero unless an entry of that term was applied here
	leader  raft.ServerID
	changed chan struct{} // closed when either changes
}

func newLeadership() leadership { return leadership{changed: make(chan struct{})} }

func (l *leadership) set(own member.Leadership, leader raft.ServerID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.own == own && l.leader == leader {
		return
	}
	l.own, l.leader = own, leader
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *leadership) get() member.Leadership {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.own
}

// Leading returns the term in which this instance leads, if it does: an entry of
// that term is applied, and so is every one before it, so that View has all that
// was ever committed. It may already be over; commands that depend on it must be proposed by
// ProposeAs.
func (n *Node) Leading() (member.Leadership, bool) {
	own := n.leads.get()
	r := n.raft()
	if own == (member.Leadership{}) || r == nil || r.State() != raft.Leader || r.CurrentTerm() != own.Term {
		return member.Leadership{}, false
	}
	return own, true
}

// LeadershipChanged returns a channel that is closed once another instance leads
// than at the time of the call, no instance does, or Leading has changed.
func (n *Node) LeadershipChanged() <-chan struct{} {
	n.leads.mu.Lock()
	defer n.leads.mu.Unlock()
	return n.leads.changed
}

// Term returns this instance's present term, 0 before it belongs to a cluster.
// An instance that reports a term has, before that, voted for none above it.
func (n *Node) Term() uint64 {
	if r := n.raft(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

// CommitIndex returns the index up to which this instance knows entries of the
// log to be committed. It counts every entry; View().Index counts commands.
func (n *Node) CommitIndex() uint64 {
	if r := n.raft(); r != nil {
		return r.CommitIndex()
	}
	return 0
}

// watchLeadership keeps Leading up to date until ctx ends.
func (n *Node) watchLeadership(ctx context.Context) {
	// The library's words are wake-ups only, of which one is enough.
	events := make(chan raft.Observation, 1)
	observer := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	n.raft().RegisterObserver(observer)
	defer n.raft().DeregisterObserver(observer)
	for {
		var again <-chan time.Time
		if !n.lookWhoLeads(ctx) {
			again = time.After(lastRetry)
		}
		select {
		case <-events:
		case <-again:
		case <-ctx.Done():
			n.leads.set(member.Leadership{}, "")
			return
		}
	}
}

// lookWhoLeads notes the leader. A new leader, this instance, is noted as such
// once a barrier has passed; false means that it has not.
func (n *Node) lookWhoLeads(ctx context.Context) bool {
	r := n.raft()
	_, leader := r.LeaderWithID()
	term := r.CurrentTerm()
	if r.State() != raft.Leader {
		n.leads.set(member.Leadership{}, leader)
		return true
	}
	own := n.leads.get()
	if own.Term == term {
		n.leads.set(own, leader)
		return true
	}
	// The election is over: each wait of this leader is counted from here at the earliest.
	since := n.config.Now()
	n.leads.set(member.Leadership{}, leader)
	_, err := await(ctx, n.proposer, func() raft.Future { return r.Barrier(enqueueTimeout) })
	if err != nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	n.tellCommit(r.CommitIndex())
	n.leads.set(member.Leadership{Term: term, Since: since}, leader)
	n.config.Logger.InfoContext(ctx, "this instance leads", "term", term)
	return true
}

var (
	// ErrNoLeader: no instance is known to lead at the moment.
	ErrNoLeader = errors.New("no instance is known to lead")
	// ErrNotLeader: only the leader can do this, and this instance is not it.
	ErrNotLeader = errors.New("this instance does not lead")
	// ErrLeads: there is no other leader to connect to.
	ErrLeads = errors.New("this instance leads itself")
)

// Leader returns the member that leads, as far as this instance knows.
func (n *Node) Leader() (member.Member, error) {
	r := n.raft()
	if r == nil {
		return member.Member{}, fmt.Errorf("%w: %w", ErrNoLeader, errNoState)
	}
	addr, id := r.LeaderWithID()
	if id == "" {
		return member.Member{}, ErrNoLeader
	}
	for _, m := range n.Members() {
		if m.ID == string(id) {
			return m, nil
		}
	}
	return member.Member{ID: string(id), Address: string(addr)}, nil
}

// handOver gives leadership to another voter, so that the others need not
// notice by silence that this instance is gone.
func (n *Node) handOver() {
	r := n.raft()
	if r == nil || r.State() != raft.Leader || n.voters() < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	_, err := await(ctx, n.proposer, r.LeadershipTransfer)
	if err != nil {
		n.config.Logger.Warn("leadership was not handed over; the others elect a leader when they miss this one", "err", err)
	}
}

const handOverTimeout = 2 * time.Second

// voters counts the members that vote.
func (n *Node) voters() int {
	count := 0
	for _, m := range n.Members() {
		if m.Voter {
			count++
		}
	}
	return count
}
