package realgitaly

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/workload"
)

// fault is what happens to the node of the primary, and how it ends.
type fault struct {
	name        string
	begin, mend func(*cluster.Storage) error
	away        time.Duration // from the one to the other
}

var faults = []fault{
	{"kill -9", func(s *cluster.Storage) error { return s.Kill() }, func(s *cluster.Storage) error { return s.Start() }, 4 * time.Second},
	{"SIGSTOP", func(s *cluster.Storage) error { return s.Pause() }, func(s *cluster.Storage) error { return s.Resume() }, 8 * time.Second},
}

// agreeLimit is how long the replicas may take to agree after the load has ended.
const agreeLimit = 3 * time.Minute

// TestRealGitaly_failover makes references in two repositories at a fixed pace while the
// primary is killed or stopped, REAL_RUNS times each (1), and prints how the writers
// fared. No time is judged: only that nothing acknowledged is lost, that the
// repositories take writes after each fault, and that the replicas agree.
func TestRealGitaly_failover(t *testing.T) { failovers(t, operators(t), faults, pace, pace/4) }

func TestFailover_onAStandIn(t *testing.T) { failovers(t, standInFor(t), faults[:1], pace) }

// pace is the time from one write to the next that real nodes on two cores can follow;
// a quarter of it is more than they can do.
const pace = 400 * time.Millisecond

func failovers(t *testing.T, gitaly *cluster.Gitaly, faults []fault, paces ...time.Duration) {
	runs := int(workload.FromEnv(t, "REAL_RUNS", 1))
	for _, every := range paces {
		for _, f := range faults {
			t.Run(fmt.Sprintf("%s, a write every %v", f.name, every), func(t *testing.T) {
				s := begin(t, gitaly, limit+time.Duration(runs)*(agreeLimit+time.Minute))
				w := s.paced(every)
				var all []figures
				for range runs {
					all = append(all, w.round(f))
				}
				report(t, all)
			})
		}
	}
}

// paced is a load of an open loop: it does not wait for answers before it asks again.
type paced struct {
	*suite
	every time.Duration
	paths []string
	n     int
	kept  map[string][]string // the acknowledged references by repository
}

func (s *suite) paced(every time.Duration) *paced {
	s.t.Helper()
	w := &paced{suite: s, every: every, kept: make(map[string][]string)}
	for n := range 2 {
		path := fmt.Sprintf("paced/project-%d.git", n)
		url, err := s.c.CreateRepository(s.ctx, virtualStorage, path)
		must.Succeed(s.t, err)
		work, err := workload.Clone(s.ctx, s.c, url, filepath.Join(s.t.TempDir(), "work"))
		must.Succeed(s.t, err)
		s.push(work, url, path, "the first")
		w.paths = append(w.paths, path)
	}
	must.Succeed(s.t, s.c.WaitConverged(s.ctx))
	return w
}

func (w *paced) client() workload.Client {
	return workload.Client{Conn: w.c.Balancer.Conn(), VirtualStorage: virtualStorage}
}

// written is one write that has ended.
type written struct {
	path, ref string
	err       error
	at        time.Time
}

// figures are how one round went.
type figures struct {
	gap, agree     time.Duration
	available      time.Duration // from the end of the load until each repository has taken a new write
	writes, failed int
	locks          int // files that a git left behind which was killed
}

// round has the fault happen under load.
func (w *paced) round(f fault) figures {
	w.t.Helper()
	primary, err := w.c.Primary(w.ctx, virtualStorage)
	must.Succeed(w.t, err)
	began := time.Now()
	quiet, done := w.load(w.ctx, 2*time.Second+f.away+4*time.Second)
	must.Succeed(w.t, workload.Pass(w.ctx, 2*time.Second))
	must.Succeed(w.t, f.begin(primary))
	must.Succeed(w.t, workload.Pass(w.ctx, f.away))
	must.Succeed(w.t, f.mend(primary))
	var result figures
	<-quiet
	result.available = w.available()
	all := <-done
	over := time.Now()

	acknowledged := []time.Time{began}
	for _, write := range all {
		result.writes++
		if write.err != nil {
			result.failed++
			if result.failed <= 3 {
				w.t.Logf("%s of %s: %v", write.ref, write.path, write.err)
			}
			continue
		}
		acknowledged = append(acknowledged, write.at)
		w.kept[write.path] = append(w.kept[write.path], write.ref)
	}
	slices.SortFunc(acknowledged, time.Time.Compare)
	for n := range acknowledged[1:] {
		result.gap = max(result.gap, acknowledged[n+1].Sub(acknowledged[n]))
	}
	ctx, cancel := context.WithTimeout(w.ctx, agreeLimit)
	defer cancel()
	must.Succeed(w.t, w.c.WaitConverged(ctx))
	result.agree = time.Since(over)
	result.locks = w.check()
	return result
}

// load writes for d, closes quiet when it begins no more, and yields all writes once they have ended.
func (w *paced) load(ctx context.Context, d time.Duration) (quiet <-chan struct{}, done <-chan []written) {
	over, all := make(chan struct{}), make(chan []written, 1)
	go func() { all <- w.writes(ctx, d, over) }()
	return over, all
}

// available has a client write to each repository at once, again as long as it is refused, and
// returns how long that took.
func (w *paced) available() time.Duration {
	w.t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(w.ctx, agreeLimit)
	defer cancel()
	var clients errgroup.Group
	done := make(chan [2]string, len(w.paths))
	w.n++
	for _, path := range w.paths {
		clients.Go(func() error {
			for try := 0; ; try++ { // each of another reference: one that seemed to fail may be there
				ref := fmt.Sprintf("refs/heads/write-%06d-%d", w.n, try)
				if w.pointSoon(ctx, path, ref) == nil {
					done <- [2]string{path, ref}
					return nil
				}
				if err := workload.Pass(ctx, 100*time.Millisecond); err != nil {
					return fmt.Errorf("no write of %s succeeds after the load: %w", path, err)
				}
			}
		})
	}
	must.Succeed(w.t, clients.Wait())
	for range w.paths {
		write := <-done
		w.kept[write[0]] = append(w.kept[write[0]], write[1])
	}
	return time.Since(start)
}

// writes writes for d, closes quiet then, and returns all writes.
func (w *paced) writes(ctx context.Context, d time.Duration, quiet chan<- struct{}) (all []written) {
	ended := make(chan written)
	begun := 0
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	over := time.After(d)
	ticks := tick.C
	for ticks != nil || len(all) < begun {
		select {
		case <-ticks:
			for _, path := range w.paths {
				begun++
				w.n++
				ref := fmt.Sprintf("refs/heads/write-%06d", w.n)
				go func() {
					err := w.pointSoon(ctx, path, ref)
					ended <- written{path: path, ref: ref, err: err, at: time.Now()}
				}()
			}
		case <-over:
			ticks = nil
			close(quiet)
		case write := <-ended:
			all = append(all, write)
		}
	}
	return all
}

// point makes a reference to the first commit of a repository.
func (w *paced) point(ctx context.Context, path, ref string) error {
	return w.client().Point(ctx, path, ref, "refs/heads/main", zero)
}

// pointSoon is point with the deadline of the load.
func (w *paced) pointSoon(ctx context.Context, path, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return w.point(ctx, path, ref)
}

// check wants every acknowledged reference on every storage, and a write of each
// repository acknowledged, and counts the locks on the disks.
func (w *paced) check() (locks int) {
	w.t.Helper()
	for _, storage := range w.c.Storages {
		for path, refs := range w.kept {
			listed, err := w.c.Git(w.ctx, filepath.Join(storage.Dir, path), "for-each-ref", "--format=%(refname)", "refs/heads")
			must.Succeed(w.t, err)
			has := strings.Fields(listed)
			slices.Sort(has)
			for _, ref := range refs {
				if _, found := slices.BinarySearch(has, ref); !found {
					w.t.Errorf("%s was acknowledged and is not on %s", ref, storage.Label())
				}
			}
		}
		must.Succeed(w.t, filepath.WalkDir(storage.Dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".lock") {
				locks++
			}
			return err
		}))
	}
	for _, path := range w.paths {
		w.n++
		must.Succeed(w.t, w.point(w.ctx, path, fmt.Sprintf("refs/heads/write-%06d", w.n)))
	}
	return locks
}

// report prints least, median and most of each figure.
func report(t *testing.T, all []figures) {
	row := func(name string, of func(figures) any) {
		values := make([]string, len(all))
		for n, f := range all {
			values[n] = fmt.Sprintf("%8v", of(f))
		}
		t.Logf("%-24s %s", name, strings.Join(values, " "))
	}
	spread := func(name string, of func(figures) time.Duration) {
		var values []time.Duration
		for _, f := range all {
			values = append(values, of(f).Round(time.Millisecond))
		}
		slices.Sort(values)
		t.Logf("%-24s %v / %v / %v (least, median, most of %d)", name, values[0], values[len(values)/2], values[len(values)-1], len(values))
	}
	row("writes", func(f figures) any { return f.writes })
	row("failed", func(f figures) any { return f.failed })
	row("available after", func(f figures) any { return f.available.Round(10 * time.Millisecond) })
	row("locks left", func(f figures) any { return f.locks })
	spread("longest gap", func(f figures) time.Duration { return f.gap })
	spread("available after the load", func(f figures) time.Duration { return f.available })
	spread("agreed after the load", func(f figures) time.Duration { return f.agree })
}
