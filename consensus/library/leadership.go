package library

import (
	"context"
	"errors"
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

func (k *leadership) set(own member.Leadership, leader raft.ServerID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.own == own && k.leader == leader {
		return
	}
	k.own, k.leader = own, leader
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *leadership) get() member.Leadership {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.own
}

// Leading returns the term in which this instance leads, if it does: an entry of
// that term is applied, and so is every one before it, so that View has all that
// was ever committed. It may already be over; commands that depend on it must be proposed by
// ProposeAs.
func (l *Library) Leading() (member.Leadership, bool) {
	own := l.leads.get()
	r := l.Raft()
	if own == (member.Leadership{}) || r == nil || r.State() != raft.Leader || r.CurrentTerm() != own.Term {
		return member.Leadership{}, false
	}
	return own, true
}

// LeadershipChanged returns a channel that is closed once another instance leads
// than at the time of the call, no instance does, or Leading has changed.
func (l *Library) LeadershipChanged() <-chan struct{} {
	l.leads.mu.Lock()
	defer l.leads.mu.Unlock()
	return l.leads.changed
}

// Term returns this instance's present term, 0 before it belongs to a cluster.
// An instance that reports a term has, before that, voted for none above it.
func (l *Library) Term() uint64 { return l.figure((*raft.Raft).CurrentTerm) }

// CommitIndex returns the index up to which this instance knows entries of the
// log to be committed. It counts every entry; View().Index counts commands.
func (l *Library) CommitIndex() uint64 { return l.figure((*raft.Raft).CommitIndex) }

// AppliedIndex returns the index of the last entry that was handed to the state.
func (l *Library) AppliedIndex() uint64 { return l.figure((*raft.Raft).AppliedIndex) }

// figure is a figure of the library, 0 before this instance has come to a cluster.
func (l *Library) figure(of func(*raft.Raft) uint64) uint64 {
	if r := l.Raft(); r != nil {
		return of(r)
	}
	return 0
}

// WatchLeadership keeps Leading up to date until ctx ends.
func (l *Library) WatchLeadership(ctx context.Context) {
	// The library's events are wake-ups only, of which one is enough.
	events := make(chan raft.Observation, 1)
	observer := raft.NewObserver(events, false, func(o *raft.Observation) bool {
		switch o.Data.(type) {
		case raft.LeaderObservation, raft.RaftState:
			return true
		}
		return false
	})
	l.Raft().RegisterObserver(observer)
	defer l.Raft().DeregisterObserver(observer)
	for {
		var again <-chan time.Time
		if !l.noteLeader(ctx) {
			again = time.After(lookAgain)
		}
		select {
		case <-events:
		case <-again:
		case <-ctx.Done():
			l.leads.set(member.Leadership{}, "")
			return
		}
	}
}

// noteLeader notes which instance leads. A new leader, this instance, is noted as such
// once a barrier has passed; false means that it has not.
func (l *Library) noteLeader(ctx context.Context) bool {
	r := l.Raft()
	_, leader := r.LeaderWithID()
	term := r.CurrentTerm()
	if r.State() != raft.Leader {
		l.leads.set(member.Leadership{}, leader)
		return true
	}
	own := l.leads.get()
	if own.Term == term {
		l.leads.set(own, leader)
		return true
	}
	// The election is over: each wait of this leader is counted from here at the earliest.
	since := l.config.Now()
	l.leads.set(member.Leadership{}, leader)
	_, err := Await(ctx, l, func() raft.Future { return r.Barrier(EnqueueTimeout) })
	if err != nil || r.State() != raft.Leader || r.CurrentTerm() != term {
		return false
	}
	l.tellCommit(r.CommitIndex())
	l.leads.set(member.Leadership{Term: term, Since: since}, leader)
	l.config.Logger.InfoContext(ctx, "this instance leads", "term", term)
	return true
}

var (
	// ErrNoLeader: no instance is known to lead at the moment.
	ErrNoLeader = errors.New("no instance is known to lead")
	// ErrNotLeader: only the leader can do this, and this instance is not it.
	ErrNotLeader = errors.New("this instance does not lead")
)

// HandOver gives leadership to another voter, so that the others need not
// notice by silence that this instance is gone.
func (l *Library) HandOver() {
	r := l.Raft()
	if r == nil || r.State() != raft.Leader || l.Voters() < 2 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), handOverTimeout)
	defer cancel()
	_, err := Await(ctx, l, r.LeadershipTransfer)
	if err != nil {
		l.config.Logger.Warn("leadership was not handed over; the others elect a leader when they miss this one", "err", err)
	}
}

const (
	handOverTimeout = 2 * time.Second
	lookAgain       = 500 * time.Millisecond // after a barrier that has not passed
)

// Voters counts the members that vote.
func (l *Library) Voters() int {
	servers, _, err := l.Configuration()
	if err != nil {
		return 0
	}
	count := 0
	for _, s := range servers {
		if s.Suffrage == raft.Voter {
			count++
		}
	}
	return count
}
