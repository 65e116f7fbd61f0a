package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"praefect/consensus/elector"
	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/session"
	"praefect/consensus/session/sessiontest"
	"praefect/fsm/routing"
	"praefect/fsm/state"
)

// testCluster is three instances with one log, in a bubble of time.
type testCluster struct {
	t     *testing.T
	nodes []*node

	mu     sync.Mutex
	view   *state.State // guarded by mu: of the log
	term   uint64
	leader *node
	// unchecked tells that the ledger is too large to check it after each command.
	unchecked bool
	// charging makes allocations take time: see charge.
	charging bool
	logged   lines
	mallocs  uint64
	spent    time.Duration
}

// node is a consensus node: it applies what is in the log at once, unless it
// lags.
type node struct {
	w        *testCluster
	id       string
	inc      state.Incarnation
	storages *sessiontest.Storages
	session  *session.Session
	jump     time.Duration // by which its clock is ahead
	barred   atomic.Value  // why it may take no lease, a string
	cancel   context.CancelFunc
	done     chan struct{}

	// guarded by testCluster.mu:
	view      *state.State
	lags      bool
	cut       bool                  // off from the other instances
	stuck     bool                  // its streams deliver nothing, and break only from outside
	refuses   bool                  // its port
	removed   bool                  // from the cluster
	probes    func(context.Context) // what a look at another port takes; nil: nothing
	term      uint64
	own       member.Leadership
	changed   chan struct{}
	elections chan struct{}
	inFlight  int
}

const vsName = "default"

// run runs a test in a testCluster whose instances are registered, and whose first one
// leads. g1, g2 and g3 serve.
func run(t *testing.T, test func(t *testing.T, w *testCluster)) {
	synctest.Test(t, func(t *testing.T) {
		w := &testCluster{t: t, view: &state.State{}}
		for i := range 3 {
			w.nodes = append(w.nodes, &node{
				w: w, id: fmt.Sprint("i", i), changed: make(chan struct{}), elections: make(chan struct{}), storages: sessiontest.NewStorages(vsName, "g1", "g2", "g3"),
			})
			w.apply(0, state.Command{Register: &state.Register{ID: w.nodes[i].id, Name: fmt.Sprint("praefect-", i), ClusterID: "c"}})
			w.nodes[i].inc = w.view.Instances[i].Incarnation
		}
		w.apply(1, state.Command{Define: &state.Define{VirtualStorage: vsName, Storages: []string{"g1", "g2", "g3"}}})
		for _, name := range []string{"g1", "g2", "g3"} {
			w.apply(1, state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: name, FilesystemID: name}})
			if s := w.vs().Storage(name); s.State == state.Backfilling {
				w.apply(1, state.Command{Compared: &state.Compared{VirtualStorage: vsName, Storage: name, Since: s.Since}})
				w.apply(1, state.Command{Rejoin: &state.Rejoin{VirtualStorage: vsName, Storage: name, FilesystemID: name, Backfilled: s.Since}})
			}
		}
		for _, n := range w.nodes {
			n.start()
		}
		w.elect(w.nodes[0])
		defer func() {
			for _, n := range w.nodes {
				n.stop()
			}
		}()
		test(t, w)
	})
}

func (w *testCluster) vs() *state.VirtualStorage { return w.view.VirtualStorage(vsName) }

// start gives the node a session, and somebody who reports to it as the ledger
// does.
func (n *node) start() {
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.done = cancel, make(chan struct{})
	n.session = session.New(n, n.storages, session.Config{
		Now:        n.now,
		Failover:   elector.Settings{Failover: true},
		Barred:     func() string { why, _ := n.barred.Load().(string); return why },
		Configured: []elector.Configured{{VirtualStorage: vsName, Storages: []string{"g1", "g2", "g3"}}},
		Logger:     slog.New(slog.NewJSONHandler(&n.w.logged, nil)).With("leader", n.id),
	})
	var tasks sync.WaitGroup
	tasks.Go(func() {
		if err := n.session.Run(ctx); err != nil {
			n.w.t.Error(err)
		}
	})
	tasks.Go(func() { n.report(ctx) })
	go func() { tasks.Wait(); close(n.done) }()
}

func (n *node) stop() {
	n.cancel()
	<-n.done
}

func (n *node) report(ctx context.Context) {
	for ctx.Err() == nil {
		changed, said := n.Changed(), n.session.Changed()
		var pauseReports []routing.WritePauseReport
		for _, h := range n.session.WritePauses() {
			n.w.mu.Lock()
			pauseReports = append(pauseReports, routing.WritePauseReport{ID: h.ID, Applied: true, InFlight: n.inFlight})
			n.w.mu.Unlock()
		}
		n.session.Report(n.View().Index, pauseReports)
		again := time.NewTimer(50 * time.Millisecond)
		select {
		case <-changed:
		case <-said:
		case <-again.C:
		case <-ctx.Done():
		}
		again.Stop()
	}
}

// now is the node's clock.
func (n *node) now() time.Duration {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	if n.w.charging {
		n.w.charge()
	}
	return time.Since(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)) + n.jump + n.w.spent
}

// leased tells whether the node may route.
func (n *node) leased() bool { return n.session.Lease().Valid(n.now(), n.View().Index) }

// apply puts commands into the log.
func (w *testCluster) apply(inc state.Incarnation, commands ...state.Command) []state.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	index := w.view.Index + 1
	next, results := w.view.Apply(index, state.Batch{
		Version: state.CommandVersion, RequestID: fmt.Sprint(index), Incarnation: inc, Number: uint64(index), Time: time.Now().UnixMilli(), Commands: commands,
	})
	if !w.unchecked {
		if err := next.Check(); err != nil {
			w.t.Error(err)
		}
	}
	w.view = next
	w.spread()
	return results
}

// spread lets the nodes that do not lag have the latest view. Caller holds mu.
func (w *testCluster) spread() {
	for _, n := range w.nodes {
		if n.view == w.view || n.view != nil && n.lags {
			continue
		}
		n.view = w.view
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// change changes what is guarded by mu.
func (w *testCluster) change(fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fn()
	w.spread()
}

// elect makes a node the leader; whoever is cut off does not learn of it.
func (w *testCluster) elect(leader *node) {
	now := leader.now()
	w.change(func() {
		w.term++
		w.leader = leader
		leader.lags = false
		for _, n := range w.nodes {
			if n.cut {
				continue
			}
			n.term, n.own = w.term, member.Leadership{}
			if n == leader {
				n.own = member.Leadership{Term: w.term, Since: now}
			}
			close(n.elections)
			n.elections = make(chan struct{})
		}
	})
}

// locked reads what is guarded by mu.
func locked[T any](n *node, read func() T) T {
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	return read()
}

// ID implements session.Node, and so do those that follow.
func (n *node) ID() string                     { return n.id }
func (n *node) Incarnation() state.Incarnation { return n.inc }
func (n *node) View() *state.State             { return locked(n, func() *state.State { return n.view }) }
func (n *node) Changed() <-chan struct{}       { return locked(n, func() chan struct{} { return n.changed }) }
func (n *node) Term() uint64                   { return locked(n, func() uint64 { return n.term }) }
func (n *node) LeadershipChanged() <-chan struct{} {
	return locked(n, func() chan struct{} { return n.elections })
}

func (n *node) Leading() (member.Leadership, bool) {
	own := locked(n, func() member.Leadership { return n.own })
	return own, own.Term > 0
}

func (n *node) Members() []member.Member {
	var all []member.Member
	n.w.mu.Lock()
	defer n.w.mu.Unlock()
	for _, o := range n.w.nodes {
		if !o.removed {
			all = append(all, member.Member{ID: o.id, Voter: true})
		}
	}
	return all
}

func (n *node) Refuses(ctx context.Context, m member.Member) (bool, error) {
	if probes := locked(n, func() func(context.Context) { return n.probes }); probes != nil {
		probes(ctx)
	}
	i := slices.IndexFunc(n.w.nodes, func(o *node) bool { return o.id == m.ID })
	return locked(n, func() bool { return n.w.nodes[i].refuses }), nil
}

func (n *node) ProposeAs(ctx context.Context, term uint64, commands ...state.Command) ([]state.Result, error) {
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !locked(n, func() bool { return n.w.leader == n && n.w.term == term && !n.cut }) {
		return nil, errors.New("does not lead")
	}
	return n.w.apply(n.inc, commands...), nil
}

func (n *node) DialLeader(ctx context.Context) (lease.Client, error) {
	leader := locked(n, func() *node {
		if n.cut || n.w.leader == nil || n.w.leader == n || n.w.leader.cut {
			return nil
		}
		return n.w.leader
	})
	if leader == nil {
		return nil, errors.New("no way to a leader")
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{from: n, to: leader, up: make(chan *lease.ToLeader), down: make(chan *lease.FromLeader), ctx: ctx, cancel: cancel}
	s.serving.Go(func() {
		defer cancel()
		_ = leader.session.Serve(ctx, peer.Addr{ID: n.id}, serverEnd{s})
	})
	return s, nil
}

// stream carries messages with a delay of a millisecond, unless one of its ends
// is cut off or stuck: then it delivers nothing.
type stream struct {
	from, to *node
	up       chan *lease.ToLeader
	down     chan *lease.FromLeader
	ctx      context.Context
	cancel   context.CancelFunc
	serving  sync.WaitGroup
}

type serverEnd struct{ *stream }

func carry[M any](s *stream, c chan M, m M) error {
	time.Sleep(time.Millisecond)
	if locked(s.from, func() bool { return s.from.cut || s.to.cut || s.to.stuck || s.from.stuck }) {
		<-s.ctx.Done()
	}
	select {
	case c <- m:
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

func take[M any](s *stream, c chan M) (M, error) {
	select {
	case m := <-c:
		return m, nil
	case <-s.ctx.Done():
		var none M
		return none, io.EOF
	}
}

func (s *stream) Send(m *lease.ToLeader) error     { return carry(s, s.up, m) }
func (s *stream) Recv() (*lease.FromLeader, error) { return take(s, s.down) }
func (s *stream) Close()                           { s.cancel(); s.serving.Wait() }
func (s serverEnd) Send(m *lease.FromLeader) error { return carry(s.stream, s.down, m) }
func (s serverEnd) Recv() (*lease.ToLeader, error) { return take(s.stream, s.up) }

// kill has every instance, or some, see that a storage is gone.
func (w *testCluster) kill(storage string, at ...*node) {
	for _, n := range at {
		n.storages.Lose(storage)
	}
}

func (w *testCluster) revive(storage string) {
	for _, n := range w.nodes {
		n.storages.Find(storage)
	}
}

// storageStates are the storages in their order.
func (w *testCluster) storageStates() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all string
	for _, s := range w.vs().Succession {
		all += fmt.Sprintf("%s %s ", s.Name, s.State)
	}
	return all
}

// pass lets time pass.
func (w *testCluster) pass(d time.Duration) { time.Sleep(d) }

// await polls until it is so; it returns how long that took.
func (w *testCluster) await(what string, is func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !is() {
		if time.Since(began) > time.Minute {
			w.t.Fatalf("not within a minute: %s (%s)", what, w.storageStates())
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// within is await, and refuses what takes longer.
func (w *testCluster) within(limit time.Duration, what string, is func() bool) {
	w.t.Helper()
	if took := w.await(what, is); took > limit {
		w.t.Errorf("%s: took %v, the limit is %v", what, took, limit)
	}
}

// The library of these nodes waits for nothing.
func (n *node) SetHeartbeatTimeout(time.Duration)                   {}
func (n *node) Doubt(context.Context, int, <-chan struct{})         {}
func (n *node) Affirm(bool)                                         {}
func (n *node) HeardLeader(uint64)                                  {}
func (n *node) SetPace(id string, term uint64, every time.Duration) {}
