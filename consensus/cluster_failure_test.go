package consensus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/lease"
	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/membership"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/test/must"
)

func TestCluster_hungDiskTakesTheLeaderOut(t *testing.T) {
	c := newCluster(t, 3)
	for _, s := range c.seats {
		s.change = append(s.change, func(config *setup.Config) { config.StoreTimeout = 3 * time.Second })
	}
	c.startAll()
	hung := c.leader()
	hung.must(t, define())
	entered, release := stall(hung.faults)
	doubtful := proposing(t.Context(), hung.instance, openIntent("under way"))
	within(t, "the append", entered)
	for _, s := range c.others(hung) {
		s.must(t, openIntent(s.peer.Name)) // as soon as another one leads
	}
	if err := hung.end(t); err == nil || !strings.Contains(err.Error(), "has not answered") {
		t.Errorf("ended with %v", err)
	}
	if err := <-doubtful; !errors.Is(err, ErrUnknown) {
		t.Errorf("under way: got %v, want %v", err, ErrUnknown)
	}
	leader := c.leader(c.others(hung)...)
	if refuses, err := leader.Refuses(t.Context(), member.Member{Address: hung.peer.Addr}); refuses || err != nil {
		t.Errorf("its port refuses (%t, %v) while a write may still be carried out", refuses, err)
	}
	if _, err := hung.Propose(t.Context(), openIntent("late")); !errors.Is(err, ErrNotProposed) {
		t.Errorf("afterwards got %v, want %v", err, ErrNotProposed)
	}
	release()
	hung.library.Wait()
	if err := errors.Join(hung.Close(), hung.disk.Close()); err == nil {
		t.Error("closed without a word about what had not stopped")
	}
}

func TestCluster_diskErrorTakesAFollowerOut(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define())
	bad := c.others(leader)[0]
	bad.faults.set(func(string) (bool, error) { return false, errDisk })
	leader.must(t, openIntent("a"))
	if err := bad.end(t); !errors.Is(err, errDisk) {
		t.Errorf("ended with %v, want %v", err, errDisk)
	}
	leader.must(t, openIntent("b"))
	if err := bad.Close(); err != nil {
		t.Error(err)
	}
	c.start(bad).ready(t)
	c.agree()
}

func TestCluster_leaderCutOff(t *testing.T) {
	c := newCluster(t, 3).startAll()
	cut := c.leader()
	cut.must(t, define())
	c.net.setCut(t, cut.peer.Addr, true)
	// What it proposes now gets into its own log only, a tail that differs from
	// what the others agree on meanwhile.
	lonely, cancel := context.WithCancel(t.Context())
	defer cancel()
	doubtful := proposing(lonely, cut.instance, openIntent("cut off"))
	left := c.others(cut)
	for n := range 20 {
		left[n%2].must(t, openIntent(fmt.Sprint("meanwhile ", n)))
	}
	eventually(t, "it does not lead any more", func() bool { _, leading := cut.Leading(); return !leading })
	if _, err := cut.ProposeAs(t.Context(), cut.Term(), define()); !errors.Is(err, ErrNotProposed) || !errors.Is(err, library.ErrNotLeader) {
		t.Errorf("as the leader that it was: %v, want %v", err, library.ErrNotLeader)
	}
	c.net.setCut(t, cut.peer.Addr, false)
	if err := <-doubtful; err != nil {
		t.Errorf("what was under way when it was cut off: %v", err)
	}
	c.agree()
	for _, s := range c.seats {
		if s.View().Len() != 21 || s.entry("cut off") == nil {
			t.Errorf("%q has %d entries, want 21", s.peer.Name, s.View().Len())
		}
	}
}

func TestCluster_awayForLongerThanTheLog(t *testing.T) {
	for _, divergent := range []bool{false, true} {
		t.Run(fmt.Sprintf("divergent %t", divergent), func(t *testing.T) {
			c := newCluster(t, 3)
			for _, s := range c.seats {
				s.change = append(s.change, func(config *setup.Config) {
					config.Fakes.Tune = func(rc *raft.Config) { rc.TrailingLogs = 16 }
				})
			}
			c.startAll()
			away := c.leader()
			if !divergent {
				away = c.others(away)[0]
			}
			away.must(t, define(), openIntent("before"))
			c.net.setCut(t, away.peer.Addr, true)
			leaving, cancel := context.WithCancel(t.Context())
			defer cancel()
			doubtful := proposing(leaving, away.instance, openIntent("cut off"))
			left := c.others(away)
			for n := range 100 {
				left[n%2].must(t, openIntent(fmt.Sprint(n)))
			}
			for _, s := range left {
				must.Succeed(t, s.library.Raft().Snapshot().Error())
				if first, err := s.disk.Logs.FirstIndex(); err != nil || first <= away.library.Raft().LastIndex() {
					t.Fatalf("the log of %q begins at %d (%v): nothing is missing in it", s.peer.Name, first, err)
				}
			}
			for n := range 10 { // behind the snapshot
				left[0].must(t, openIntent(fmt.Sprint("behind ", n)))
			}
			c.net.setCut(t, away.peer.Addr, false)
			if err := <-doubtful; err != nil {
				t.Errorf("what was under way when it was cut off: %v", err)
			}
			c.agree()
			if got := away.View().Len(); got != 112 {
				t.Errorf("%d entries, want 112", got)
			}
			// It has all that it needs to go on by itself.
			away.stop(t)
			c.start(away).ready(t)
			c.crash(left[0])
			away.must(t, openIntent("after"))
			c.agree(away, left[1])
		})
	}
}

func TestCluster_strangers(t *testing.T) {
	c := newCluster(t, 5)
	listed, stranger, other := c.seats[:3], c.seats[3], c.seats[4]
	c.startListed(t, listed)
	stranger.change = []func(*setup.Config){func(config *setup.Config) {
		config.Credentials = peer.Credentials{Secret: "another one of that length"}
	}}
	c.startWith(stranger, listed...)
	c.startWith(other, listed...) // knows the secret, but is not listed
	for _, s := range []*seat{stranger, other} {
		eventually(t, "it is answered by none", func() bool { return c.missing(s) == 3 })
		if s.library.Raft() != nil {
			t.Errorf("%q has come to a cluster", s.peer.Name)
		}
	}
	if members := c.leader(listed...).Members(); len(members) != 3 {
		t.Errorf("members are %+v", members)
	}
}

func TestCluster_otherClusterIsNoPeer(t *testing.T) {
	c := newClusters(t)
	a, b := c.seats[0], c.seats[1]
	c.start(a).ready(t)
	c.start(b).ready(t)
	if _, err := callPropose.CallTo(t.Context(), a.library.Clients, b.peer.Addr, proposal{}); err == nil || !strings.Contains(err.Error(), "of cluster") {
		t.Errorf("two clusters have met: %v", err)
	}
}

func TestOpen_clusterWithoutPeers(t *testing.T) {
	c := newCluster(t, 3).startAll()
	s := c.seats[0]
	s.stop(t)
	n, err := open(t, s.dir)
	if err == nil {
		n.Close()
		t.Fatal("an instance of three was opened as one that stands alone")
	}
	if !strings.Contains(err.Error(), "raft.peer") {
		t.Errorf("the error does not name the key: %v", err)
	}
	c.start(s).ready(t) // nothing was changed
}

func TestNode_ProposeAs(t *testing.T) {
	c := newCluster(t, 3).startAll()
	c.byLeader(nil, func(leader *seat) error {
		own, _ := leader.Leading()
		results, err := leader.ProposeAs(t.Context(), own.Term, define(), define())
		if err == nil && (len(refusals(results)) > 0 || results[0].Index > leader.View().Index) {
			t.Errorf("got %+v, and the view is at %d", results, leader.View().Index)
		}
		return err
	})
	for what, propose := range map[string]func(leader *seat, term uint64) error{
		"another term": func(leader *seat, term uint64) error {
			_, err := leader.ProposeAs(t.Context(), term+1, define())
			return err
		},
		"no term": func(leader *seat, _ uint64) error {
			_, err := leader.ProposeAs(t.Context(), 0, define())
			return err
		},
		"another one's term": func(leader *seat, term uint64) error {
			_, err := c.others(leader)[0].ProposeAs(t.Context(), term, define())
			return err
		},
		"nothing at all": func(leader *seat, term uint64) error {
			_, err := leader.ProposeAs(t.Context(), term)
			return err
		},
	} {
		leader := c.leader()
		if err := propose(leader, leader.Term()); !errors.Is(err, ErrNotProposed) {
			t.Errorf("%s: got %v, want %v", what, err, ErrNotProposed)
		}
	}
	// Even if another leader's log took it, it would not be applied.
	c.byLeader(nil, func(leader *seat) error {
		late, err := leader.proposer.commitAs(t.Context(), leader.library.Raft(), 1, leader.Incarnation(), []state.Command{define()})
		if err == nil && !slices.Equal(refusals(late), []state.Reason{state.RefusedTerm}) {
			t.Errorf("got %+v", late)
		}
		return err
	})
	// A batch that names a term goes no other way.
	entry, err := state.EncodeBatch(state.Batch{Version: state.CommandVersion, RequestID: "r", Term: 1, Commands: []state.Command{define()}})
	must.Succeed(t, err)
	if answer, err := c.seats[0].takeProposal(t.Context(), peer.Addr{}, proposal{Batch: entry}); err != nil || answer.Outcome != outcomeRejected {
		t.Errorf("forwarded: %+v, %v", answer, err)
	}
}

func TestNode_Leading(t *testing.T) {
	c := newCluster(t, 3).startAll()
	first := c.leader()
	before := lease.Now()
	if was, ok := first.Leading(); ok && (was.Since > before || was.Since < before-patience) {
		t.Errorf("it leads since %v, and it is %v", was.Since, before)
	}
	next := c.others(first)[0]
	changed := next.LeadershipChanged()
	var leads member.Leadership
	eventually(t, "the next one leads", func() (ok bool) {
		if leads, ok = next.Leading(); ok {
			return true
		}
		if err := c.leader().Transfer(t.Context(), next.peer.Name); err != nil {
			t.Log(err) // the library gives it up when it takes too long
		}
		return false
	})
	within(t, "the change", changed)
	if now := lease.Now(); leads.Since < before || leads.Since > now {
		t.Errorf("it leads since %v, and was elected between %v and %v", leads.Since, before, now)
	}
	c.byLeader(nil, func(leader *seat) error {
		if err := leader.Transfer(t.Context(), "praefect-9"); !errors.Is(err, membership.ErrNoMember) {
			return fmt.Errorf("to nobody: %w, want %w", err, membership.ErrNoMember)
		}
		return nil
	})
	eventually(t, "a follower refuses", func() bool {
		return errors.Is(c.others(c.leader())[0].Transfer(t.Context(), ""), library.ErrNotLeader)
	})
}

func TestNode_PeersStatus(t *testing.T) {
	c := newCluster(t, 3).startAll()
	dead := c.others(c.leader())[0]
	c.crash(dead)
	left := c.others(dead)
	all := left[0].PeersStatus(t.Context())
	if len(all) != 3 {
		t.Fatalf("%d instances", len(all))
	}
	for n, s := range all {
		seat := c.seats[n]
		if s.Name != seat.peer.Name || s.ID != seat.ID() || s.Address != seat.peer.Addr || !s.Voter {
			t.Errorf("%d is %+v", n, s)
		}
		if (s.Err != "") != (seat == dead) {
			t.Errorf("%q: err %q", s.Name, s.Err)
		}
		if seat != dead && (s.Term == 0 || s.AppliedIndex == 0 || s.Profile != member.Fast || s.State == "") {
			t.Errorf("%q is %+v", s.Name, s)
		}
	}
}

func TestNode_DialLeader(t *testing.T) {
	c := newCluster(t, 3)
	// Each serves streams by answering with the term of the instance that asks.
	for _, s := range c.seats {
		s.before = func(n *Node) {
			n.Provide(Services{
				Lease: func(_ context.Context, from peer.Addr, s lease.Server) error {
					for {
						m, err := s.Recv()
						if err != nil {
							return err
						}
						if m.InstanceID != from.ID {
							return errors.New("somebody else")
						}
						if err := s.Send(&lease.FromLeader{Term: m.Term}); err != nil {
							return err
						}
					}
				},
				LeaseLeft: func() time.Duration { return time.Second },
			})
		}
	}
	c.startAll()
	s := c.seats[0]
	eventually(t, "another one leads", func() bool {
		if err := s.Transfer(t.Context(), ""); errors.Is(err, library.ErrNotLeader) {
			return c.leader() != s
		}
		return false
	})
	c.byLeader(nil, func(leader *seat) error {
		if _, err := leader.DialLeader(t.Context()); !errors.Is(err, ErrLeads) {
			return fmt.Errorf("%w: the leader dials itself: %w", library.ErrNotLeader, err)
		}
		return nil
	})
	var stream lease.Client
	eventually(t, "it reaches the leader", func() (ok bool) {
		var err error
		stream, err = s.DialLeader(t.Context())
		return err == nil
	})
	defer stream.Close()
	for term := range uint64(3) {
		must.Succeed(t, stream.Send(&lease.ToLeader{InstanceID: s.ID(), Term: term + 1}))
		if m, err := stream.Recv(); err != nil || m.Term != term+1 {
			t.Fatalf("%+v, %v", m, err)
		}
	}
	if left := s.PeersStatus(t.Context())[1].LeaseLeft; left != time.Second {
		t.Errorf("%v left of the lease", left)
	}
	for _, other := range c.others(s) {
		other.stop(t)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream goes on after its leader")
	}
}
