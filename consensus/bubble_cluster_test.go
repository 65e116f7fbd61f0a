package consensus_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"praefect/consensus"
	"praefect/consensus/elector"
	"praefect/consensus/lease"
	"praefect/consensus/member"
	"praefect/consensus/peer"
	"praefect/consensus/session"
	"praefect/consensus/session/sessiontest"
	"praefect/consensus/setup"
	"praefect/fsm/routing"
	"praefect/fsm/state"
	"praefect/test/must"
)

const (
	vsName = "default"
	// patience bounds, in the bubble's time, what must happen.
	patience = time.Minute
)

var storageNames = []string{"g1", "g2", "g3"}

// testCluster is a cluster in a bubble: the real library, transport, gRPC and session on
// a network and stores in memory.
type testCluster struct {
	t     *testing.T
	net   *network
	rand  *rand.Rand
	began time.Time
	seats []*seat

	trailing  uint64
	snapshots int // how often an instance was to get one
}

// seat is where one instance sits, over all its lives.
type seat struct {
	w        *testCluster
	name     string
	addr     string
	dir      string
	memory   *memory
	rate     float64 // of its clock, which is wrong by up to half of the margin
	storages *sessiontest.Storages

	// Of the present life:
	node    *consensus.Node
	session *session.Session
	ended   chan struct{}
	end     context.CancelFunc

	mu   sync.Mutex
	life *life // guarded by mu; nil while no instance runs there
}

// life is what others may look at.
type life struct {
	node    *consensus.Node
	session *session.Session
}

// run runs a test in a cluster of three, whose storages serve. So many entries stay
// in a log behind a snapshot.
func run(t *testing.T, seed, trailing uint64, test func(t *testing.T, w *testCluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &testCluster{t: t, net: newNetwork(500 * time.Microsecond), rand: rand.New(rand.NewPCG(seed, 0)), began: time.Now(), trailing: trailing}
		for n := range 3 {
			w.seats = append(w.seats, &seat{
				w: w, name: fmt.Sprint("praefect-", n+1), addr: fmt.Sprintf("10.0.0.%d:2307", n+1), dir: t.TempDir(),
				memory: newMemory(), rate: 1 + (w.rand.Float64()-0.5)/100, storages: sessiontest.NewStorages(vsName, storageNames...),
			})
		}
		for _, s := range w.seats {
			s.start()
		}
		defer func() {
			for _, s := range w.seats {
				s.stop()
			}
		}()
		for _, s := range w.seats {
			<-s.node.Ready()
		}
		w.eventually("the storages serve", w.backfilled)
		w.whole()
		test(t, w)
	})
}

// backfilled tells whether all storages serve. A storage that is being backfilled is declared so at
// once, because there is nothing to copy.
func (w *testCluster) backfilled() bool {
	node := w.seats[0].node
	vs := node.View().VirtualStorage(vsName)
	if vs == nil {
		return false
	}
	all := true
	for _, s := range vs.Succession {
		if s.State == state.Backfilling && s.FilesystemID != "" {
			_, err := node.Propose(w.t.Context(), state.Command{Compared: &state.Compared{VirtualStorage: vsName, Storage: s.Name, Since: s.Since}}, state.Command{Rejoin: &state.Rejoin{
				VirtualStorage: vsName, Storage: s.Name, FilesystemID: s.FilesystemID, Backfilled: s.Since,
			}})
			must.Succeed(w.t, err)
		}
		all = all && s.State == state.Serving
	}
	return all
}

// now is the clock of the instance.
func (s *seat) now() time.Duration {
	return time.Hour + time.Duration(float64(time.Since(s.w.began))*s.rate)
}

// start begins a life of the instance.
func (s *seat) start() {
	t := s.w.t
	config := setup.Config{
		Name: s.name, DataDir: s.dir, ListenAddr: s.addr, Credentials: peer.Credentials{Secret: "sixteen or more characters"},
		Now: s.now, Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError + 1})),
		Fakes: setup.Fakes{
			Dial: s.w.net.dial(s.addr), Listen: s.w.net.listen, OpenStores: s.memory.open,
			Tune: func(rc *raft.Config) { rc.TrailingLogs = s.w.trailing },
		},
	}
	for _, other := range s.w.seats {
		if other != s {
			config.Peers = append(config.Peers, member.Peer{Name: other.name, Addr: other.addr})
		}
	}
	node, err := consensus.Open(t.Context(), config)
	must.Succeed(t, err)
	sess := session.New(node, s.storages, session.Config{
		Now: s.now, Failover: elector.Settings{Failover: true},
		Configured: []elector.Configured{{VirtualStorage: vsName, Storages: storageNames}},
	})
	node.Provide(consensus.Services{Lease: func(ctx context.Context, from peer.Addr, stream lease.Server) error {
		return sess.Serve(ctx, from, stream)
	}})
	ctx, end := context.WithCancel(context.Background())
	s.node, s.session, s.end, s.ended = node, sess, end, make(chan struct{})
	go s.live(ctx)
}

// live is a life of the instance, as the daemon leads it.
func (s *seat) live(ctx context.Context) {
	defer close(s.ended)
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var talking sync.WaitGroup
	node, sess := s.node, s.session
	talking.Go(func() {
		select {
		case <-node.Ready():
		case <-ctx.Done():
			stop()
			return
		}
		s.set(&life{node, sess})
		var tasks sync.WaitGroup
		tasks.Go(func() { _ = sess.Run(ctx) }) // it returns none
		tasks.Go(func() { s.report(ctx, node, sess) })
		tasks.Wait()
		stop()
	})
	err := node.Run(working)
	s.set(nil)
	if err != nil {
		s.w.t.Logf("%s: %v", s.name, err)
		s.end()
		_ = node.Close() // it says so again
	}
	s.memory.end()
	node.Unlock()
	talking.Wait()
}

func (s *seat) set(l *life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.life = l
}

func (s *seat) get() *life {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.life
}

// report tells the session what the ledger would.
func (s *seat) report(ctx context.Context, node *consensus.Node, sess *session.Session) {
	for ctx.Err() == nil {
		changed, said := node.Changed(), sess.Changed()
		var pauseReports []routing.WritePauseReport
		for _, h := range sess.WritePauses() {
			pauseReports = append(pauseReports, routing.WritePauseReport{ID: h.ID, Applied: true})
		}
		sess.Report(node.View().Index, pauseReports)
		select {
		case <-changed:
		case <-said:
		case <-ctx.Done():
		}
	}
}

// stop ends the instance as an operator does.
func (s *seat) stop() {
	s.end()
	<-s.ended
}

// crash ends it as the end of its process would.
func (s *seat) crash() {
	s.node.Crash()
	<-s.ended
}

// pass lets time pass.
func (w *testCluster) pass(d time.Duration) { time.Sleep(d) }

// pause waits, at most until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// eventually polls until ok.
func (w *testCluster) eventually(what string, ok func() bool) time.Duration {
	w.t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > patience {
			w.t.Fatalf("still waiting after %v: %s", patience, what)
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// leased tells whether the instance may route now.
func (s *seat) leased() bool {
	l := s.get()
	return l != nil && l.session.Lease().Valid(s.now(), l.node.View().Index)
}

// whole waits until all instances are leased and have the same view.
func (w *testCluster) whole() {
	w.t.Helper()
	w.eventually("all are leased and agree", func() bool {
		for _, s := range w.seats {
			if !s.leased() || s.node.View().Index != w.seats[0].node.View().Index {
				return false
			}
		}
		return true
	})
}

// isolate cuts an instance off from all others.
func (w *testCluster) isolate(s *seat) {
	for _, other := range w.others(s) {
		w.net.setCut(s.addr, other.addr, true)
		w.net.setCut(other.addr, s.addr, true)
	}
}

// heal ends every fault of the network and of storages.
func (w *testCluster) heal() {
	for _, s := range w.seats {
		for _, other := range w.others(s) {
			w.net.setCut(s.addr, other.addr, false)
		}
		for _, name := range storageNames {
			s.storages.Find(name)
		}
	}
}

// leader waits until one of the seats leads.
func (w *testCluster) leader(seats ...*seat) (leader *seat) {
	w.t.Helper()
	if len(seats) == 0 {
		seats = w.seats
	}
	w.eventually("one leads", func() bool {
		for _, s := range seats {
			if _, ok := s.node.Leading(); ok {
				leader = s
				return true
			}
		}
		return false
	})
	return leader
}

// others are all seats but one.
func (w *testCluster) others(than *seat) []*seat {
	return slices.DeleteFunc(slices.Clone(w.seats), func(s *seat) bool { return s == than })
}
