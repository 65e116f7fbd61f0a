package consensus

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/peer"
	"praefect/fsm/state"
	"praefect/test/must"
)

// empty replaces the data directory of a seat by an empty one.
func (s *seat) empty(t *testing.T) {
	t.Helper()
	must.Succeed(t, os.RemoveAll(s.dir))
	s.dir = t.TempDir()
}

func TestCluster_oneGrowsToThree(t *testing.T) {
	c := newCluster(t, 3)
	first := c.seats[0]
	first.instance = begin(t, first.dir).ready(t) // alone, as before there were clusters
	first.must(t, define(), openIntent("a"))
	id, clusterID := first.ID(), first.View().ClusterID
	first.stop(t)

	c.start(first).ready(t)
	first.must(t, openIntent("b"))
	c.voters(first, first)
	c.start(c.seats[1]).ready(t)
	if voters := first.library.Voters(); voters != 1 {
		t.Errorf("%d voters while the third is missing: two survive no more failures than one", voters)
	}
	c.start(c.seats[2]).ready(t)
	for _, s := range c.seats {
		c.voters(s, c.seats...)
		s.must(t, openIntent(s.peer.Name))
	}
	c.agree()
	for _, s := range c.seats {
		if s.View().ClusterID != clusterID {
			t.Errorf("%q is of cluster %q, want %q", s.peer.Name, s.View().ClusterID, clusterID)
		}
		for _, path := range []string{"a", "b", "praefect-2"} {
			if s.entry(path) == nil {
				t.Errorf("%q lacks %q", s.peer.Name, path)
			}
		}
	}
	if first.ID() != id {
		t.Errorf("the first has the id %q, want %q", first.ID(), id)
	}
	// The state outlives the instance that brought it.
	c.crash(first)
	c.seats[1].must(t, openIntent("without the first"))
	if c.seats[1].entry("a") == nil {
		t.Error("what the first had brought is lost")
	}
}

func TestCluster_replacesADeadOne(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define(), openIntent("a"))
	dead := c.others(leader)[0]
	former := dead.ID()
	c.crash(dead)
	dead.empty(t)
	c.start(dead)
	// It has the name and the address of a member that may only be away, and
	// is let in when an operator says that it is not.
	leader.must(t, openIntent("b"))
	for _, m := range leader.Members() {
		if m.ID == dead.ID() {
			t.Errorf("the new %q is a member before the former one was removed", m.Name)
		}
	}
	c.byLeader(c.others(dead), func(leader *seat) error { return leader.RemovePeer(t.Context(), former, false) })
	dead.ready(t)
	for _, s := range c.seats {
		c.voters(s, c.seats...)
	}
	dead.must(t, openIntent("c"))
	c.agree()
	for _, path := range []string{"a", "b", "c"} {
		if dead.entry(path) == nil {
			t.Errorf("the new one lacks %q", path)
		}
	}
	// It is one of three by now: another one may die.
	c.crash(c.others(dead)[0])
	dead.must(t, openIntent("d"))
}

func TestCluster_emptiedNeverBeginsAnew(t *testing.T) {
	c := newCluster(t, 3).startAll()
	last := c.leader()
	last.must(t, define(), openIntent("a"))
	emptied := c.others(last)
	for _, s := range emptied {
		c.crash(s)
		s.empty(t)
	}
	last.stop(t) // the only one with state is away
	for _, s := range emptied {
		c.start(s)
	}
	for _, s := range emptied {
		eventually(t, "it sees the other emptied one", func() bool { return c.missing(s) == 1 })
		if s.library.Raft() != nil {
			t.Errorf("%q has begun a cluster without all of its peers", s.peer.Name)
		}
	}
	c.start(last)
	for _, s := range emptied {
		eventually(t, "it asks to join", func() bool { return s.library.Raft() != nil })
		if members := s.Members(); len(members) > 0 {
			t.Errorf("%q has begun a cluster beside the one that is there: %+v", s.peer.Name, members)
		}
		select {
		case <-s.Ready():
			t.Errorf("%q is ready, though two of three are lost", s.peer.Name)
		default:
		}
	}
	if _, leading := last.Leading(); leading {
		t.Error("one of three leads: emptied ones have voted in the place of their former selves")
	}
}

func TestCluster_removedOneEnds(t *testing.T) {
	c := newCluster(t, 5).startAll()
	removed := c.others(c.leader())[0]
	c.byLeader(nil, func(leader *seat) error {
		if leader == removed {
			return errors.Join(library.ErrNotLeader, leader.Transfer(t.Context(), ""))
		}
		return leader.RemovePeer(t.Context(), removed.peer.Name, false)
	})
	if err := removed.end(t); !errors.Is(err, membership.ErrRemoved) {
		t.Errorf("the removed one ended with %v", err)
	}
	if refuses, err := removed.Refuses(t.Context(), member.Member{Address: removed.peer.Addr}); refuses || err != nil {
		t.Errorf("its port refuses (%t, %v) before its process ends", refuses, err)
	}
	if err := removed.Close(); err != nil {
		t.Error(err)
	}
	c.start(removed)
	if err := removed.end(t); !errors.Is(err, membership.ErrRemoved) {
		t.Errorf("started again it ended with %v", err)
	}
}

// TestCluster_removedOneIsRefused: an instance that was removed while it was down gets no
// connection, although it is listed and knows the secret, not even from an instance that
// has restarted since; it learns that it was removed, and a new one takes its place.
func TestCluster_removedOneIsRefused(t *testing.T) {
	c := newCluster(t, 3).startAll()
	removed := c.others(c.leader())[0]
	id, dir := removed.ID(), removed.dir
	c.crash(removed)
	left := c.others(removed)
	c.byLeader(left, func(leader *seat) error { return leader.RemovePeer(t.Context(), removed.peer.Name, false) })
	for _, s := range left {
		eventually(t, s.peer.Name+" knows that it was removed", func() bool { return s.library.WasRemoved(id) })
	}
	restarted := left[0]
	c.crash(restarted)
	c.start(restarted)
	refused := func(id string) error {
		outcast := make(chan string, 10)
		former, err := peer.Dialler(peer.Config{
			Name: removed.peer.Name, ID: id, Credentials: peer.Credentials{Secret: secret}, Cluster: func() string { return "" },
			Admit: func(string, string) bool { return true }, Outcast: func(by string) { outcast <- by }, Dial: c.net.dial(removed.peer.Addr),
		})
		must.Succeed(t, err)
		defer former.Close()
		for _, s := range left {
			_, err := former.Meet(t.Context(), s.peer.Addr, s.peer.Name)
			if err == nil {
				continue
			}
			select {
			case by := <-outcast:
				if by != s.peer.Name || !strings.Contains(err.Error(), "was removed from the cluster") {
					t.Errorf("%q: %v, told by %q", s.peer.Name, err, by)
				}
			default:
				t.Errorf("%q: %v, and it was not told", s.peer.Name, err)
			}
			if s == left[len(left)-1] {
				return err
			}
		}
		return nil
	}
	if err := refused(id); err == nil {
		t.Error("it is let in")
	}
	if err := refused("a new id"); err != nil {
		t.Errorf("one with a new id: %v", err)
	}
	c.start(removed)
	if err := removed.end(t); !errors.Is(err, membership.ErrRemoved) {
		t.Errorf("it ended with %v", err)
	}
	if err := removed.Close(); err != nil {
		t.Error(err)
	}
	if removed.dir = t.TempDir(); removed.dir == dir {
		t.Fatal("the same directory")
	}
	c.start(removed)
	eventually(t, "the new one is a voter", func() bool {
		return slices.ContainsFunc(c.leader().Members(), func(m member.Member) bool { return m.ID == removed.ID() && m.Voter })
	})
}

func TestCluster_removeRefusesWhatIsUnsafe(t *testing.T) {
	c := newCluster(t, 3).startAll()
	dead := c.others(c.leader())[0]
	c.crash(dead)
	left := c.others(dead)
	for _, s := range left { // itself, and the one without whom it has no quorum
		c.byLeader(left, func(leader *seat) error {
			if err := leader.RemovePeer(t.Context(), s.peer.Name, false); !errors.Is(err, membership.ErrUnsafe) {
				return fmt.Errorf("remove %q: %w, want %w", s.peer.Name, err, membership.ErrUnsafe)
			}
			return nil
		})
	}
	c.byLeader(left, func(leader *seat) error {
		if err := leader.RemovePeer(t.Context(), "praefect-9", false); !errors.Is(err, membership.ErrNoMember) {
			return fmt.Errorf("remove nobody: %w, want %w", err, membership.ErrNoMember)
		}
		return nil
	})
	c.byLeader(left, func(leader *seat) error { return leader.RemovePeer(t.Context(), dead.peer.Name, false) })
	c.voters(left[0], left...)
}

func TestCluster_addsOneThatIsNotListed(t *testing.T) {
	c := newCluster(t, 4)
	listed, added := c.seats[:3], c.seats[3]
	c.startListed(t, listed)
	c.startWith(added, listed...)
	if err := c.leader(listed...).AddPeer(t.Context(), "praefect-9", added.peer.Addr); err == nil {
		t.Error("added under another name")
	}
	add := func(leader *seat) error { return leader.AddPeer(t.Context(), added.peer.Name, added.peer.Addr) }
	c.byLeader(listed, add)
	// It has seen no instance with state until now, and waits for all of its list.
	added.ready(t)
	added.must(t, define(), openIntent("a"))
	if voters := added.library.Voters(); voters != 3 {
		t.Errorf("%d voters, want 3 and one that follows", voters)
	}
	c.byLeader(listed, add) // once more changes nothing
}

func TestCluster_addressChanges(t *testing.T) {
	c := newCluster(t, 4)
	listed, moved := c.seats[:3], c.seats[3].peer
	c.startListed(t, listed)
	s := listed[0]
	s.stop(t)
	moved.Name = s.peer.Name
	s.peer = moved
	c.startWith(s, listed...).ready(t)
	eventually(t, "the others know the address", func() bool {
		for _, m := range listed[1].Members() {
			if m.ID == s.ID() {
				return m.Address == moved.Addr && m.Voter
			}
		}
		return false
	})
	c.crash(listed[1]) // the one that moved is needed from here on
	listed[2].must(t, define())
}

func TestNode_retiredOneEnds(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	retired := c.others(leader)[0]
	leader.must(t, state.Command{Retire: &state.Retire{Incarnation: retired.Incarnation(), Proof: state.ProofOperator}})
	if err := retired.end(t); !errors.Is(err, ErrRetired) {
		t.Errorf("ended with %v, want %v", err, ErrRetired)
	}
	if err := retired.Close(); err != nil {
		t.Error(err)
	}
	c.start(retired).ready(t)
	retired.must(t, define())
}
