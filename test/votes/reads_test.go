package votes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"praefect/test/cluster"
	"praefect/test/must"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// TestReads_areNeverStale writes through one instance and reads through each other
// one at once, many times, in several repositories at a time; then the same while a
// secondary and the primary are killed.
func TestReads_areNeverStale(t *testing.T) {
	const repositories = 8
	seeds, err := workload.NewSeeds(t.Context(), t.TempDir(), repositories)
	must.Succeed(t, err)
	w := start(t, cluster.Options{Disk: seeds.Disk})
	n := int(workload.FromEnv(t, "SUITE_READS", 300))

	r := w.readers(t, seeds)
	r.run(t, n)
	if failed := r.failed.Load(); failed > 0 {
		t.Errorf("%d operations failed while nothing was wrong, which ended with %v", failed, r.fault())
	}
	w.lap(t, "%d writes and %d reads", r.writes.Load(), r.reads.Load())

	for _, victim := range []struct {
		what string
		who  func(*testing.T) *cluster.Storage
	}{{"a secondary", w.secondary}, {"the primary", func(t *testing.T) *cluster.Storage { return scenario.Primary(t, w.Cluster, vs) }}} {
		s := victim.who(t)
		before := r.writes.Load()
		killing := make(chan error, 1)
		go func() { killing <- r.kill(t.Context(), s, int64(n)/10) }()
		r.run(t, n/5)
		must.Succeed(t, <-killing)
		w.lap(t, "%s killed and restarted during %d writes", victim.what, r.writes.Load()-before)
		w.allServe(t)
	}
	w.settled(t)
	w.lap(t, "and repaired")
	t.Logf("in all %d writes and %d reads; %d operations failed: %v", r.writes.Load(), r.reads.Load(), r.failed.Load(), r.fault())
}

// readers write to repositories and read what they wrote at every other instance.
type readers struct {
	w     *harness
	seeds *workload.Seeds

	writes, reads, failed atomic.Int64

	mu     sync.Mutex
	faults []error  // guarded by mu
	stale  []string // guarded by mu
}

func (w *harness) readers(t *testing.T, seeds *workload.Seeds) *readers {
	t.Helper()
	for n, path := range seeds.Paths() {
		p := workload.At(vs, path)
		w.history.Existence(p, true, nil)
		_, err := w.client(w.Instances[n%len(w.Instances)]).Commit(t.Context(), path, "committed", "begin")
		must.Succeed(t, err)
		w.history.Commit(p, "committed", "begin", nil)
	}
	return &readers{w: w, seeds: seeds}
}

// run has one writer for each repository, until there were n writes in all.
func (r *readers) run(t *testing.T, n int) {
	t.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var writers sync.WaitGroup
	for _, path := range r.seeds.Paths() {
		writers.Go(func() {
			for turn := 0; left.Add(-1) >= 0; turn++ {
				r.turn(t.Context(), path, turn)
			}
		})
	}
	writers.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.stale) > 0 {
		t.Fatalf("%d reads were stale, such as: %s", len(r.stale), r.stale[0])
	}
}

// turn makes one write through one instance and reads it through the others at once.
func (r *readers) turn(ctx context.Context, path string, turn int) {
	ctx, cancel := context.WithTimeout(ctx, operationLimit)
	defer cancel()
	at := turn % len(r.w.Instances)
	through := r.w.client(r.w.Instances[at])
	var ref, id string
	var err error
	const commitEvery = 8 // the rest only moves a reference, which is quicker
	if turn%commitEvery == 0 {
		ref = fmt.Sprintf("refs/heads/turn-%d-%d", r.writes.Load(), time.Now().UnixNano())
		id, err = through.Commit(ctx, path, ref[len("refs/heads/"):], "turn")
	} else {
		ref, id = "refs/keep/register", r.seeds.Values()[turn%len(r.seeds.Values())]
		err = through.Point(ctx, path, ref, id, "")
	}
	if err != nil {
		r.fail(err)
		return
	}
	acknowledged := time.Now()
	r.writes.Add(1)
	var others sync.WaitGroup
	for n, i := range r.w.Instances {
		if n == at {
			continue
		}
		others.Go(func() {
			var trailer metadata.MD
			got, err := r.w.client(i).Find(ctx, path, ref, grpc.Trailer(&trailer))
			switch {
			case err != nil:
				r.fail(err)
			case len(trailer.Get(workload.Unleased)) > 0: // it says that it may be old
			case got != id:
				r.mu.Lock()
				defer r.mu.Unlock()
				r.stale = append(r.stale, fmt.Sprintf("%s of %q was set to %s through %s at %s, and read as %q through %s",
					ref, path, id, r.w.Instances[at].Label(), acknowledged.Format("15:04:05.000"), got, i.Label()))
			default:
				r.reads.Add(1)
			}
		})
	}
	others.Wait()
}

func (r *readers) fail(err error) {
	r.failed.Add(1)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, err)
}

// fault is how what failed has ended, for people.
func (r *readers) fault() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	kinds := make(map[string]int)
	for _, err := range r.faults {
		kinds[status.Convert(errors.Unwrap(err)).Message()]++
	}
	return fmt.Sprint(kinds)
}

// kill kills a storage after some writes more and starts it again a little later.
func (r *readers) kill(ctx context.Context, s *cluster.Storage, after int64) error {
	ctx, cancel := context.WithTimeout(ctx, scenario.WaitLimit)
	defer cancel()
	for until := r.writes.Load() + after; r.writes.Load() < until; {
		if err := workload.Pass(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("wait for writes: %w", err)
		}
	}
	const away = 300 * time.Millisecond
	err := s.Kill()
	return errors.Join(err, workload.Pass(ctx, away), s.Start())
}
