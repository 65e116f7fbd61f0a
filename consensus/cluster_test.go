package consensus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus/library"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/setup"
	"praefect/fsm/state"
	"praefect/test/must"
)

// secret is shared by the instances of the tests.
const secret = "sixteen or more characters"

// network connects instances over loopback, each at an address of its own, and
// can be cut between them.
type network struct {
	mu    sync.Mutex
	cut   map[string]bool // addresses that are cut off from all others
	conns map[net.Conn][2]string
}

// dial returns how the instance at from connects to others.
func (w *network) dial(from string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, to string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", to)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.cut[from] || w.cut[to] {
			return nil, errors.Join(errors.New("the network is cut"), c.Close())
		}
		w.conns[c] = [2]string{from, to}
		return c, nil
	}
}

// setCut cuts the instance at the address off from all others, or heals that.
func (w *network) setCut(t *testing.T, addr string, cut bool) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[addr] = cut
	for c, ends := range w.conns {
		if cut && slices.Contains(ends[:], addr) {
			if err := c.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			delete(w.conns, c)
		}
	}
}

// seat is a place for one instance of a cluster, which may be replaced by another one.
type seat struct {
	peer   member.Peer
	dir    string
	faults *faultyStore
	change []func(*setup.Config)
	before func(*Node) // Run; may be nil
	*instance
}

// cluster is some seats on one network.
type cluster struct {
	t     *testing.T
	net   *network
	seats []*seat
}

// newCluster prepares the seats; start fills them. Loopback has 2^24 addresses,
// so that no other test has one of ours.
func newCluster(t *testing.T, seats int) *cluster {
	t.Helper()
	t.Parallel() // mostly it waits
	c := &cluster{t: t, net: &network{cut: make(map[string]bool), conns: make(map[net.Conn][2]string)}}
	a, b := 1+rand.IntN(254), rand.IntN(256)
	for n := range seats {
		c.seats = append(c.seats, &seat{
			peer: member.Peer{Name: fmt.Sprint("praefect-", n+1), Addr: fmt.Sprintf("127.%d.%d.%d:2307", a, b, n+1)},
			dir:  t.TempDir(),
		})
	}
	return c
}

// start starts the instance of a seat, with all seats as its peers.
func (c *cluster) start(s *seat) *seat { return c.startWith(s, c.seats...) }

// startListed starts seats that list each other and no other one, and waits until they take commands.
func (c *cluster) startListed(t *testing.T, listed []*seat) {
	t.Helper()
	for _, s := range listed {
		c.startWith(s, listed...)
	}
	for _, s := range listed {
		s.ready(t)
	}
}

// startWith starts it with the given seats as peers, its own among them or not.
func (c *cluster) startWith(s *seat, peers ...*seat) *seat {
	c.t.Helper()
	s.faults = &faultyStore{}
	change := append([]func(*setup.Config){func(config *setup.Config) {
		config.Name, config.ListenAddr, config.Fakes.Dial = s.peer.Name, s.peer.Addr, c.net.dial(s.peer.Addr)
		config.Credentials = peer.Credentials{Secret: secret}
		config.LockTimeout = patience
		config.StoreTimeout = 10 * time.Second // slow is no failure on a busy machine
		for _, p := range peers {
			if p != s {
				config.Peers = append(config.Peers, p.peer)
			}
		}
	}, s.faults.with}, s.change...)
	n, err := open(c.t, s.dir, change...)
	must.Succeed(c.t, err)
	if s.before != nil {
		s.before(n)
	}
	s.instance = run(c.t, n)
	return s
}

// startAll starts every seat, and waits until all are ready.
func (c *cluster) startAll() *cluster {
	c.t.Helper()
	for _, s := range c.seats {
		c.start(s)
	}
	for _, s := range c.seats {
		s.ready(c.t)
	}
	return c
}

// leader waits until one of the seats leads, whom all of them know.
func (c *cluster) leader(seats ...*seat) *seat {
	c.t.Helper()
	if len(seats) == 0 {
		seats = c.seats
	}
	var leader *seat
	eventually(c.t, "one leads, and all know it", func() bool {
		leader = nil
		for _, s := range seats {
			if _, ok := s.Leading(); ok {
				leader = s
			}
		}
		return leader != nil && !slices.ContainsFunc(seats, func(s *seat) bool { return s.Status().Leader != leader.ID() })
	})
	return leader
}

// byLeader does something that only the leader can, again if another one leads
// by then: on a busy machine they elect now and then.
func (c *cluster) byLeader(seats []*seat, what func(leader *seat) error) {
	c.t.Helper()
	var err error
	eventually(c.t, "done by a leader", func() bool {
		err = what(c.leader(seats...))
		return !errors.Is(err, library.ErrNotLeader) && !errors.Is(err, raft.ErrNotLeader) && !errors.Is(err, raft.ErrLeadershipLost)
	})
	must.Succeed(c.t, err)
}

// others are the seats but that one.
func (c *cluster) others(than *seat) []*seat {
	return slices.DeleteFunc(slices.Clone(c.seats), func(s *seat) bool { return s == than })
}

// missing counts the peers that have not answered the instance without state when it asked last.
func (c *cluster) missing(s *seat) (count int) {
	for _, other := range c.seats {
		if strings.Contains(s.Waiting(), other.peer.Name+" (") {
			count++
		}
	}
	return count
}

// errCrash is what takes an instance out that is to end without a word.
var errCrash = errors.New("crash")

// crash ends the instance as the end of its process would: nothing is said,
// nothing handed over. Its port refuses afterwards.
func (c *cluster) crash(s *seat) {
	c.t.Helper()
	s.disk.Guard.Fail(errCrash)
	if err := s.end(c.t); !errors.Is(err, errCrash) {
		c.t.Fatalf("ended with %v", err)
	}
	if err := s.Close(); err == nil {
		return
	} else if !strings.Contains(err.Error(), "has not stopped") {
		c.t.Fatal(err)
	}
	// On a busy machine the library takes longer to stop than a process waits that is
	// to end; the end of the process unlocks the directory.
	s.library.Wait()
	must.Succeed(c.t, s.disk.Close())
}

// agree waits until the seats have the same view, and checks it.
func (c *cluster) agree(seats ...*seat) {
	c.t.Helper()
	if len(seats) == 0 {
		seats = c.seats
	}
	eventually(c.t, "all have the same view", func() bool {
		for _, s := range seats {
			if s.View().Index != seats[0].View().Index {
				return false
			}
		}
		return true
	})
	for _, s := range seats {
		if err := s.View().Check(); err != nil {
			c.t.Error(err)
		}
		if got, want := s.View().Len(), seats[0].View().Len(); got != want {
			c.t.Errorf("%q has %d entries, %q has %d", s.peer.Name, got, seats[0].peer.Name, want)
		}
	}
}

// voters waits until the seat takes exactly the given seats for the voters.
func (c *cluster) voters(at *seat, want ...*seat) {
	c.t.Helper()
	var names, got []string
	for _, s := range want {
		names = append(names, s.peer.Name+" "+s.ID())
	}
	slices.Sort(names)
	eventually(c.t, fmt.Sprintf("voters are %q", names), func() bool {
		got = nil
		for _, m := range at.Members() {
			if m.Voter {
				got = append(got, m.Name+" "+m.ID)
			}
		}
		return slices.Equal(got, names)
	})
}

func TestCluster_begins(t *testing.T) {
	c := newCluster(t, 3).startAll()
	leader := c.leader()
	leader.must(t, define())
	for n, s := range c.seats {
		s.must(t, openIntent(fmt.Sprint(n)))
		if got := s.View().Len(); got < n+1 {
			t.Errorf("%q has answered before it has applied: %d entries", s.peer.Name, got)
		}
	}
	c.agree()
	clusterID := leader.View().ClusterID
	for _, s := range c.seats {
		c.voters(s, c.seats...)
		if got := s.View().ClusterID; got != clusterID || got == "" {
			t.Errorf("%q is of cluster %q, want %q", s.peer.Name, got, clusterID)
		}
		if m, err := s.Leader(); err != nil || m.ID != leader.ID() || m.Name != leader.peer.Name || m.Address != leader.peer.Addr {
			t.Errorf("%q takes %+v for the leader (%v)", s.peer.Name, m, err)
		}
		if known := s.disk.Known(); known.ClusterID != clusterID || len(known.Founders) != 3 {
			t.Errorf("%q has kept %+v", s.peer.Name, known)
		}
		in := leader.View().Instance(s.Incarnation())
		if in == nil || in.Name != s.peer.Name || in.RaftAddress != s.peer.Addr {
			t.Errorf("%q is registered as %+v", s.peer.Name, in)
		}
	}
	if got := len(leader.View().Instances); got != 3 {
		t.Errorf("%d instances are registered, want 3", got)
	}
}

func TestCluster_leaderDies(t *testing.T) {
	c := newCluster(t, 3).startAll()
	dead := c.leader()
	dead.must(t, define(), openIntent("before"))
	c.crash(dead)
	left := c.others(dead)
	for _, s := range left {
		s.must(t, openIntent("after "+s.peer.Name))
	}
	c.leader(left...)
	if refuses, err := left[0].Refuses(t.Context(), member.Member{Address: dead.peer.Addr}); !refuses || err != nil {
		t.Errorf("its port does not refuse (%t, %v)", refuses, err)
	}

	c.start(dead).ready(t)
	c.agree()
	for _, path := range []string{"before", "after " + left[0].peer.Name, "after " + left[1].peer.Name} {
		if dead.entry(path) == nil {
			t.Errorf("the one that was dead lacks %q", path)
		}
	}
	if live := dead.View().Instances; len(live) != 3 {
		t.Errorf("live: %+v, want the former life of the dead one retired", live)
	}
}

func TestCluster_stopHandsLeadershipOver(t *testing.T) {
	c := newCluster(t, 3).startAll()
	// It gives up when the chosen one is too slow: that may happen, not always.
	eventually(t, "another one leads when the leader ends", func() bool {
		leader := c.leader()
		leader.stop(t)
		handedOver := slices.ContainsFunc(c.others(leader), func(s *seat) bool { return s.library.Raft().State() == raft.Leader })
		c.start(leader).ready(t)
		return handedOver
	})
}

func TestCluster_proposesAcrossLeaders(t *testing.T) {
	c := newCluster(t, 3).startAll()
	c.leader().must(t, define())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	done := make([]int, len(c.seats))
	for n, s := range c.seats {
		wg.Go(func() {
			for ctx.Err() == nil {
				path := fmt.Sprint(n, " ", done[n])
				results, err := s.Propose(t.Context(), openIntent(path), closeIntent(path), openIntent(path))
				if err != nil {
					t.Errorf("%q: %v", s.peer.Name, err)
					return
				}
				for _, r := range results {
					if r.Refusal != nil {
						t.Errorf("%q: %v", s.peer.Name, r.Refusal)
					}
				}
				done[n]++
			}
		})
	}
	for range 5 {
		leader := c.leader()
		before := leader.View().Index
		if err := leader.Transfer(t.Context(), ""); err != nil {
			t.Log(err) // under load the library may give it up
		}
		eventually(t, "they go on", func() bool { return leader.View().Index > before+10 })
	}
	cancel()
	wg.Wait()
	c.agree()
	if got, want := c.leader().View().Len(), done[0]+done[1]+done[2]; got != want {
		t.Errorf("%d entries, want %d", got, want)
	}
}

// refusals are the reasons for which the commands were refused.
func refusals(results []state.Result) []state.Reason {
	var all []state.Reason
	for _, r := range results {
		if r.Refusal != nil {
			all = append(all, r.Refusal.Reason)
		}
	}
	return all
}
