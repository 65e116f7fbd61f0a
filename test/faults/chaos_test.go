package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// chaos kills processes at random and starts them again.
type chaos struct {
	cluster             *cluster.Cluster
	instances, storages *scenario.Nemesis
	inDoubt             float64 // repositories in doubt after the starts of the instance, summed up
}

// newChaos prepares the kills of a cluster of one instance.
func newChaos(c *cluster.Cluster, seed uint64) *chaos {
	x := &chaos{cluster: c}
	i := c.Instances[0]
	x.instances = &scenario.Nemesis{
		Of: []*cluster.Process{i.Process}, Random: rand.New(rand.NewPCG(seed, 1)),
		// Some lives are longer than briefLimit: only then is anything settled.
		Between: [2]time.Duration{500 * time.Millisecond, 9 * time.Second}, Away: [2]time.Duration{0, 500 * time.Millisecond},
		Back: func(ctx context.Context, _ *cluster.Process) error {
			if err := i.WaitReady(ctx); err != nil {
				return err
			}
			metrics, err := i.Metrics(ctx)
			inDoubt, _ := metrics.Sum("praefect_in_doubt_repositories")
			x.inDoubt += inDoubt
			return err
		},
	}
	x.storages = &scenario.Nemesis{
		Random:  rand.New(rand.NewPCG(seed, 2)),
		Between: [2]time.Duration{500 * time.Millisecond, 3 * time.Second}, Away: [2]time.Duration{0, 1500 * time.Millisecond},
		Back: func(ctx context.Context, p *cluster.Process) error {
			n := slices.IndexFunc(c.Storages, func(s *cluster.Storage) bool { return s.Process == p })
			return c.Storages[n].WaitReady(ctx)
		},
	}
	for _, s := range c.Storages {
		x.storages.Of = append(x.storages.Of, s.Process)
	}
	return x
}

// TestChaos_randomKillsUnderLoad kills the instance and the storages again and
// again while clients write, intents linger and repairs run.
func TestChaos_randomKillsUnderLoad(t *testing.T) {
	seed, seconds := workload.FromEnv(t, "SUITE_SEED", 1), workload.FromEnv(t, "SUITE_SECONDS", 25)
	t.Logf("SUITE_SEED=%d SUITE_SECONDS=%d", seed, seconds)
	c := start(t, cluster.Options{Settings: impatient})
	h := workload.NewHistory()
	l := startMixture(t, c, h, seed)
	x := newChaos(c, seed)
	// A run in which little happened shows nothing, and a slow machine needs more
	// time for as much.
	const extensions = 3
	var missing []string
	for range 1 + extensions {
		must.Succeed(t, x.run(t.Context(), time.Duration(seconds)*time.Second))
		if missing = x.missing(t, l, int(seconds)); len(missing) == 0 {
			break
		}
		t.Logf("too little happened, and it goes on: %q", missing)
	}
	l.end()
	settledWithin(t, settleLimit+time.Duration(seconds)*time.Second/4, c, h)
	l.neverStale(t)

	written, refused, surprises := h.Counts()
	t.Logf("kills %v and %v, repositories in doubt after starts %v; writes acknowledged %d, not acknowledged %d, of these in effect %d; operations %v",
		x.instances.Kills, x.storages.Kills, x.inDoubt, written, refused, surprises, l.done)
	if surprises == 0 {
		missing = append(missing, "writes in effect without an acknowledgement")
	}
	if len(missing) > 0 {
		t.Errorf("too little happened: %q", missing)
	}
}

// startMixture has clients of all kinds write to several repositories.
func startMixture(t *testing.T, c *cluster.Cluster, h *workload.History, seed uint64) *load {
	t.Helper()
	to := clientOf(c, vs)
	paths := []string{"busy/0.git", "busy/1.git", "busy/2.git", "calm/0.git", "calm/1.git", "calm/2.git", "calm/3.git", "hasty/0.git", "hasty/1.git"}
	made(t, to, h, paths...)
	settled(t, c, h)
	l := startLoad(t, c, h, briefLimit)
	for n, path := range paths {
		name, random := fmt.Sprintf("api-%d", n), rand.New(rand.NewPCG(seed, uint64(10+n)))
		switch kind, _, _ := strings.Cut(path, "/"); kind {
		case "busy":
			l.committer(to, path, name)
		case "calm":
			l.stutterer(to, path, name, random)
		case "hasty":
			l.hasty(to, path, name, random)
		}
	}
	for n, path := range paths[:2] { // several writers in one repository, and git at once
		l.committer(to, path, fmt.Sprintf("more-%d", n))
		l.pusher(clone(t, c, vs, path), vs, path, fmt.Sprintf("git-%d", n))
	}
	l.mayfly(to, "mayfly")
	return l
}

// missing names what has happened too seldom for a run of so many seconds.
func (x *chaos) missing(t *testing.T, l *load, seconds int) (missing []string) {
	t.Helper()
	written, refused, _ := l.history.Counts()
	i, primary := x.cluster.Instances[0], x.cluster.Storages[0]
	secondaries := 0
	for _, s := range x.cluster.Storages[1:] {
		secondaries += x.storages.Kills[s.Label()]
	}
	for _, seen := range []struct {
		what      string
		got, want int
	}{
		{"kills of the instance", x.instances.Kills[i.Label()], seconds / 12},
		{"kills of the primary storage", x.storages.Kills[primary.Label()], 1},
		{"kills of secondary storages", secondaries, 1},
		{"acknowledged writes", written, 4 * seconds},
		{"writes not acknowledged", refused, 2 * seconds},
		{"acknowledged pushes", l.counts("push"), seconds / 4},
		{"repositories in doubt after a start", int(x.inDoubt), 3},
		{"resolutions of doubts", logged(t, i.Process, 0, "in-doubt intents resolved"), 1},
		{"repairs", logged(t, i.Process, 0, "repository repaired"), seconds / 2},
	} {
		if seen.got < seen.want {
			missing = append(missing, fmt.Sprintf("%d %s, want %d", seen.got, seen.what, seen.want))
		}
	}
	return missing
}

// run lets chaos reign for a time; then every process runs again.
func (x *chaos) run(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	other := make(chan error, 1) // one result
	go func() { other <- x.storages.Run(ctx) }()
	return errors.Join(x.instances.Run(ctx), <-other)
}

func from(random *rand.Rand, shortest, longest time.Duration) time.Duration {
	return shortest + time.Duration(random.Int64N(int64(longest-shortest)))
}
