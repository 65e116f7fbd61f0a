package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
)

// chaos kills processes at random and starts them again.
type chaos struct {
	cluster *cluster.Cluster
	seed    uint64

	mu    sync.Mutex
	kills map[string]int // by process; guarded by mu
	dirty float64        // repositories in doubt after the starts of the instance, summed up; guarded by mu
	fault error          // what kept a process from its end or start; guarded by mu
}

// TestChaos_randomKillsUnderLoad kills the instance and the storages again and
// again while clients write, marks linger and repairs run.
func TestChaos_randomKillsUnderLoad(t *testing.T) {
	seed, seconds := fromEnv(t, "E2E_SEED", uint64(time.Now().UnixNano())), fromEnv(t, "E2E_SECONDS", 25)
	t.Logf("E2E_SEED=%d E2E_SECONDS=%d", seed, seconds)
	c := start(t, cluster.Options{Settings: impatient})
	h, to := newHistory(), clientOf(c, vs)
	paths := []string{"busy/0.git", "busy/1.git", "busy/2.git", "calm/0.git", "calm/1.git", "calm/2.git", "calm/3.git"}
	made(t, to, h, paths...)
	settled(t, c, h)
	l := startLoad(t, c, h, briefLimit)
	for n, path := range paths {
		if strings.HasPrefix(path, "calm/") {
			l.stutterer(to, path, fmt.Sprintf("api-%d", n), rand.New(rand.NewPCG(seed, uint64(10+n))))
		} else {
			l.committer(to, path, fmt.Sprintf("api-%d", n))
		}
	}
	for n, path := range paths[:2] { // several writers in one repository, and git at once
		l.committer(to, path, fmt.Sprintf("more-%d", n))
		l.pusher(clone(t, c, vs, path), vs, path, fmt.Sprintf("git-%d", n))
	}
	l.mayfly(to, "mayfly")

	x := &chaos{cluster: c, seed: seed, kills: make(map[string]int)}
	x.run(t.Context(), time.Duration(seconds)*time.Second)
	l.end()
	if x.fault != nil {
		t.Fatal(x.fault)
	}
	settled(t, c, h)
	l.neverStale(t)

	// A run in which little happened shows nothing.
	written, refused, surprises := h.counts()
	settlements := logged(t, c.Instances[0].Process, 0, "dirty marks settled")
	repairs := logged(t, c.Instances[0].Process, 0, "repository repaired")
	t.Logf("kills %v; writes acknowledged %d, not acknowledged %d, of these in effect %d", x.kills, written, refused, surprises)
	t.Logf("repositories in doubt after starts %v, settlements %d, repairs %d; operations %v", x.dirty, settlements, repairs, l.done)
	rounds := int(seconds)
	for _, enough := range []struct {
		what      string
		got, want int
	}{
		{"kills of the instance", x.kills[c.Instances[0].Label()], rounds / 8},
		{"kills of the primary storage", x.kills[c.Storages[0].Label()], 1},
		{"kills of secondary storages", x.kills[c.Storages[1].Label()] + x.kills[c.Storages[2].Label()], 1},
		{"acknowledged writes", written, 4 * rounds},
		{"writes not acknowledged", refused, 2 * rounds},
		{"writes in effect without an acknowledgement", surprises, 1},
		{"acknowledged pushes", l.done["push"], rounds / 4},
		{"repositories in doubt after a start", int(x.dirty), 3},
		{"settlements", settlements, 3},
		{"repairs", repairs, rounds / 2},
	} {
		if enough.got < enough.want {
			t.Errorf("only %d %s, want at least %d: the run shows nothing", enough.got, enough.what, enough.want)
		}
	}
}

// run lets chaos reign for a time; then every process runs again.
func (x *chaos) run(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var reign sync.WaitGroup
	reign.Go(func() {
		random := rand.New(rand.NewPCG(x.seed, 1))
		for ctx.Err() == nil {
			pass(ctx, from(random, 500*time.Millisecond, 4*time.Second))
			x.killInstance(ctx, from(random, 0, 500*time.Millisecond))
		}
	})
	reign.Go(func() {
		random := rand.New(rand.NewPCG(x.seed, 2))
		// Every storage has its turn in each round, in an order by chance.
		for ctx.Err() == nil {
			for _, n := range random.Perm(len(x.cluster.Storages)) {
				pass(ctx, from(random, 500*time.Millisecond, 3*time.Second))
				x.killStorage(ctx, x.cluster.Storages[n], from(random, 0, 1500*time.Millisecond))
			}
		}
	})
	reign.Wait()
}

func (x *chaos) killInstance(ctx context.Context, away time.Duration) {
	i := x.cluster.Instances[0]
	if !x.kill(ctx, i.Process, away, func(ctx context.Context) error { return endClaims(ctx, x.cluster) }) {
		return
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := i.WaitReady(limit); err != nil {
		x.failed(err)
		return
	}
	metrics, err := i.Metrics(limit)
	if err != nil {
		x.failed(err)
		return
	}
	dirty, _ := metrics.Sum("gitaly_praefect_dirty_repositories")
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dirty += dirty
}

func (x *chaos) killStorage(ctx context.Context, s *cluster.Storage, away time.Duration) {
	if !x.kill(ctx, s.Process, away, func(context.Context) error { return nil }) {
		return
	}
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := s.WaitReady(limit); err != nil {
		x.failed(err)
	}
}

// kill kills a process and starts it again after a while; between is done while
// it is away.
func (x *chaos) kill(ctx context.Context, p *cluster.Process, away time.Duration, between func(context.Context) error) (killed bool) {
	if ctx.Err() != nil {
		return false
	}
	x.mu.Lock()
	x.kills[p.Label()]++
	x.mu.Unlock()
	if err := p.Kill(); err != nil {
		x.failed(err)
	}
	if err := between(context.WithoutCancel(ctx)); err != nil {
		x.failed(err)
	}
	pass(ctx, away)
	if err := p.Start(); err != nil {
		x.failed(err)
	}
	return true
}

func (x *chaos) failed(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = errors.Join(x.fault, err)
}

func from(random *rand.Rand, shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(random.Int64N(int64(longest-shortest)))
}

// fromEnv reads a number from the environment.
func fromEnv(t *testing.T, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("read $%s: %v", name, err)
	}
	return n
}
