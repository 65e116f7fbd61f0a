package consensus_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"praefect/consensus"
	"praefect/fsm/state"
)

// TestBubble_leaderDies lets one leader after the other die.
func TestBubble_leaderDies(t *testing.T) {
	const times, limit = 100, time.Second
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		var all []time.Duration
		for n := range times {
			dead := w.leader()
			dead.crash()
			began := time.Now()
			if _, err := w.others(dead)[n%2].node.Propose(t.Context(), openIntent(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			all = append(all, time.Since(began))
			dead.start()
			w.whole()
		}
		slices.Sort(all)
		t.Logf("a command was taken after %v at best, %v in the middle, %v at worst", all[0], all[times/2], all[times-1])
		if all[times-1] > limit {
			t.Errorf("the others did without a leader for %v, want at most %v", all[times-1], limit)
		}
	})
}

// TestBubble_leaderDiesAmongStrangers lets leaders die while 300 connections that say
// nothing come to each port, again as soon as they are closed. The next leader is there
// as soon as without them.
func TestBubble_leaderDiesAmongStrangers(t *testing.T) {
	const times, limit, each = 5, time.Second, 300
	run(t, 1, few, func(t *testing.T, w *testCluster) {
		ctx, cancel := context.WithCancel(t.Context())
		var strangers sync.WaitGroup
		for _, s := range w.seats {
			for n := range each {
				strangers.Go(func() { w.stranger(ctx, fmt.Sprint("stranger-", n), s.addr) })
			}
		}
		w.pass(5 * time.Second)
		if term := w.leader().node.Status().Term; term > 2 {
			t.Errorf("strangers alone made %d terms", term)
		}
		for n := range times {
			dead := w.leader()
			dead.crash()
			began := time.Now()
			if _, err := w.others(dead)[n%2].node.Propose(t.Context(), openIntent(fmt.Sprint(n))); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > limit {
				t.Errorf("the others did without a leader for %v, want at most %v", took, limit)
			}
			dead.start()
			w.whole()
		}
		cancel()
		strangers.Wait()
	})
}

// stranger connects to a port and says nothing, again and again until ctx ends.
func (w *testCluster) stranger(ctx context.Context, from, to string) {
	for ctx.Err() == nil {
		c, err := w.net.dial(from)(ctx, to)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = c.Close() })
			_, _ = c.Read(make([]byte, 1)) // until the other side has had enough of it
			stop()
			_ = c.Close()
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// TestBubble_keepsThePromises lets faults happen by chance, and looks at all
// instances in every millisecond. BUBBLE_SEED names one run, BUBBLE_RUNS how many.
func TestBubble_keepsThePromises(t *testing.T) {
	first, runs := fromEnv(t, "BUBBLE_SEED", 1), fromEnv(t, "BUBBLE_RUNS", 8)
	const faults = 12
	var seen coverage
	for seed := first; seed < first+runs; seed++ {
		ok := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			run(t, seed, few, func(t *testing.T, w *testCluster) {
				x := watch(w)
				for range faults {
					x.fault()
					w.heal()
					w.whole()
				}
				x.finish()
				seen.add(x)
			})
		})
		if !ok {
			t.Fatalf("again with: BUBBLE_SEED=%d BUBBLE_RUNS=1 go test -run %s ./consensus", seed, t.Name())
		}
	}
	t.Logf("%+v", seen)
	if n := int(runs); seen.terms < 2*n || seen.epochs < n || seen.lapses < n || seen.snapshots < n/4 || seen.acks < 20*n {
		t.Errorf("%d runs saw too little: %+v", runs, seen)
	}
}

// few entries stay in a log, so that an instance that was away gets a snapshot.
const few = 16

func fromEnv(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("read $%s: %v", name, err)
	}
	return n
}

func openIntent(path string) state.Command {
	return state.Command{Open: &state.OpenIntent{VirtualStorage: vsName, Paths: []string{path}, Kind: state.PrimaryOnly}}
}

// coverage is what some runs went through.
type coverage struct{ terms, epochs, lapses, snapshots, acks, unknown int }

func (c *coverage) add(x *watcher) {
	c.terms += len(x.leaders)
	c.epochs += int(x.epoch)
	c.lapses += x.lapses
	c.snapshots += x.w.snapshots
	c.acks += len(x.acked)
	c.unknown += x.unknown
}

// watcher looks at a testCluster while clients propose through every instance.
type watcher struct {
	w    *testCluster
	stop context.CancelFunc
	all  sync.WaitGroup

	leaders map[uint64]string // by term; only look
	epoch   uint64            // the highest; only look
	lapses  int               // leases that ended; only look
	held    map[*seat]bool    // the seats that had one; only look

	mu      sync.Mutex
	acked   []string // guarded by mu
	unknown int      // guarded by mu
}

func watch(w *testCluster) *watcher {
	ctx, stop := context.WithCancel(context.Background())
	x := &watcher{w: w, stop: stop, leaders: make(map[uint64]string), held: make(map[*seat]bool)}
	w.t.Cleanup(func() { stop(); x.all.Wait() })
	x.all.Go(func() {
		for ctx.Err() == nil {
			x.look()
			pause(ctx, time.Millisecond)
		}
	})
	for _, s := range w.seats {
		x.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				x.propose(s, fmt.Sprint(s.name, " ", n))
				pause(ctx, 40*time.Millisecond)
			}
		})
	}
	return x
}

func (x *watcher) propose(s *seat, path string) {
	l := s.get()
	if l == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	results, err := l.node.Propose(ctx, openIntent(path))
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case err == nil && results[0].Refusal == nil:
		x.acked = append(x.acked, path)
	case errors.Is(err, consensus.ErrUnknown):
		x.unknown++
	}
}

// look checks the rules of every moment. It reads the older values first: a
// watermark, and a view, hold for each instance with a lease afterwards.
func (x *watcher) look() {
	t := x.w.t
	watermark := state.Index(0)
	var latest *state.VirtualStorage
	for _, s := range x.w.seats {
		l := s.get()
		if l == nil {
			continue
		}
		watermark = max(watermark, l.session.Watermark())
		if vs := l.node.View().VirtualStorage(vsName); latest == nil || vs != nil && vs.Epoch > latest.Epoch {
			latest = vs
		}
		if own, ok := l.node.Leading(); ok {
			if other := x.leaders[own.Term]; other != "" && other != s.name {
				t.Errorf("%s and %s lead in term %d", other, s.name, own.Term)
			}
			x.leaders[own.Term] = s.name
		}
	}
	if latest != nil {
		x.epoch = max(x.epoch, uint64(latest.Epoch))
	}
	for _, s := range x.w.seats {
		l := s.get()
		if l == nil {
			continue
		}
		view := l.node.View()
		leased := l.session.Lease().Valid(s.now(), view.Index)
		if x.held[s] && !leased {
			x.lapses++
		}
		if x.held[s] = leased; !leased {
			continue
		}
		if view.Index < watermark {
			t.Errorf("%s is under a lease, with the view %d, and the watermark was %d", s.name, view.Index, watermark)
		}
		x.knowsFences(s, view.VirtualStorage(vsName), latest)
	}
}

// knowsFences wants an instance under a lease to know of every fence that was
// ended: it would let writes pass to a storage that is no primary any more.
func (x *watcher) knowsFences(s *seat, own, latest *state.VirtualStorage) {
	if own == nil || latest == nil || own.Epoch >= latest.Epoch {
		return
	}
	for _, st := range latest.Succession {
		if st.State == state.Out && own.Storage(st.Name).State == state.Serving {
			x.w.t.Errorf("%s is under a lease and takes %s of epoch %d for serving; it is out since epoch %d", s.name, st.Name, own.Epoch, latest.Epoch)
		}
	}
}

// fault lets something happen, for as long as it takes to matter.
func (x *watcher) fault() {
	w := x.w
	s := w.seats[w.rand.IntN(len(w.seats))]
	if w.rand.IntN(2) == 0 {
		s = w.leader()
	}
	others := w.others(s)
	lasting := time.Duration(200+w.rand.IntN(2500)) * time.Millisecond
	switch w.rand.IntN(8) {
	case 0:
		s.crash()
		w.pass(lasting)
		s.start()
	case 1:
		s.stop()
		w.pass(lasting)
		s.start()
	case 2:
		x.isolate(s, lasting)
	case 3:
		for _, other := range others {
			w.net.setCut(s.addr, other.addr, true)
		}
		w.pass(lasting)
	case 4:
		for _, other := range others {
			w.net.setCut(other.addr, s.addr, true)
		}
		w.pass(lasting)
	case 5:
		w.net.setCut(s.addr, others[0].addr, true)
		w.net.setCut(others[0].addr, s.addr, true)
		w.pass(lasting)
	case 6: // for longer than an instance puts up with
		release := s.memory.freeze()
		w.eventually("an instance whose disk hangs takes itself out", func() bool { return s.get() == nil })
		<-s.ended
		release()
		s.start()
	case 7:
		x.loseStorage(others)
	}
}

// isolate wants an instance that is cut off to have no lease before long.
func (x *watcher) isolate(s *seat, lasting time.Duration) {
	w := x.w
	w.isolate(s)
	const lease = time.Second
	w.pass(lease)
	if s.leased() {
		w.t.Errorf("%s is under a lease after it was cut off for %v", s.name, lease)
	}
	w.pass(lasting)
	if s.leased() {
		w.t.Errorf("%s has got a lease while it was cut off", s.name)
	}
	if w.rand.IntN(2) == 0 {
		return
	}
	// The entries that it missed are not in the others' logs any more.
	for _, other := range w.others(s) {
		if first, err := other.node.Snapshot(); err != nil || first <= uint64(s.node.View().Index) {
			w.t.Errorf("the log of %s begins at %d (%v), and %s has %d", other.name, first, err, s.name, s.node.View().Index)
		}
	}
	w.snapshots++
}

// loseStorage has two of three lose the way to the storage that comes first, while
// the third one is cut off from them as often as not.
func (x *watcher) loseStorage(by []*seat) {
	w := x.w
	vs := by[0].node.View().VirtualStorage(vsName)
	first := vs.Succession[0].Name
	if w.rand.IntN(2) == 0 {
		for _, s := range by {
			third := w.others(by[0])
			for _, o := range third {
				if !slices.Contains(by, o) {
					w.net.setCut(o.addr, s.addr, true)
					w.net.setCut(s.addr, o.addr, true)
				}
			}
		}
	}
	for _, s := range by {
		s.storages.Lose(first)
	}
	w.eventually("a failover", func() bool {
		now := by[0].node.View().VirtualStorage(vsName)
		return now.Storage(first).State == state.Out
	})
}

// finish ends the clients, and wants every acknowledged command in every view.
func (x *watcher) finish() {
	t, w := x.w.t, x.w
	x.stop()
	x.all.Wait()
	w.whole()
	for _, s := range w.seats {
		view := s.node.View()
		if err := view.Check(); err != nil {
			t.Error(err)
		}
		for _, path := range x.acked {
			if view.Entry(state.Key{VirtualStorage: vsName, RelativePath: path}) == nil {
				t.Errorf("%s lacks %q, which was acknowledged", s.name, path)
			}
		}
	}
}
