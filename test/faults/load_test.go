package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"praefect/test/cluster"
	"praefect/test/workload"
)

// load is clients at work, each doing one thing after the other. What they did
// stands in the history; what failed is kept.
type load struct {
	limit   time.Duration // of one operation
	history *workload.History
	cluster *cluster.Cluster

	workers *workload.Workers

	mu      sync.Mutex
	done    map[string]int           // operations that succeeded, by kind; guarded by mu
	slowest map[string]time.Duration // how long any took at most; guarded by mu
	faults  []string                 // those that did not succeed; guarded by mu
	stale   []string                 // reads that missed what was acknowledged; guarded by mu
}

// startLoad makes a load without clients. A test that does not end it by itself
// has it ended.
func startLoad(t *testing.T, c *cluster.Cluster, h *workload.History, limit time.Duration) *load {
	l := &load{limit: limit, history: h, cluster: c, workers: workload.NewWorkers(), done: make(map[string]int), slowest: make(map[string]time.Duration)}
	t.Cleanup(l.end)
	return l
}

// end lets every client finish what it is doing, and returns when all have.
func (l *load) end() { l.workers.Stop() }

// worker repeats step until the load ends, at most once in every interval.
func (l *load) worker(every time.Duration, step func(ctx context.Context, n int)) {
	l.workers.Start(0, every, func(n int) {
		// Not ended by the end of the load: an operation that its client gives up is in doubt.
		ctx, cancel := context.WithTimeout(context.Background(), l.limit)
		defer cancel()
		step(ctx, n)
	})
}

// do does one operation and notes how it ended.
func (l *load) do(kind string, operation func() error) error {
	began := time.Now()
	err := operation()
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slowest[kind] = max(l.slowest[kind], took.Round(time.Millisecond))
	if err == nil {
		l.done[kind]++
	} else {
		l.faults = append(l.faults, fmt.Sprintf("%s after %v: %s: %v", time.Now().Format(clock), took, kind, err))
	}
	return err
}

// clock is how moments are written, to find them in logs.
const clock = "15:04:05.000"

// committer commits to a branch of its own through the API, moves a reference
// along, and reads back what was acknowledged.
func (l *load) committer(to workload.Client, path, name string) {
	p, ref := workload.At(to.VirtualStorage, path), "refs/keep/"+name
	l.worker(50*time.Millisecond, func(ctx context.Context, n int) {
		subject, id := fmt.Sprintf("%s-%d", name, n), ""
		err := l.do("commit", func() (err error) {
			id, err = to.Commit(ctx, path, name, subject)
			l.history.Commit(p, name, subject, err)
			return err
		})
		if err != nil {
			return
		}
		l.readBack(ctx, to, path, "refs/heads/"+name, id)
		err = l.do("point", func() error {
			err := to.Point(ctx, path, ref, id, "")
			l.history.Pointed(p, ref, id, err)
			return err
		})
		if err != nil {
			ref = "refs/keep/" + subject // a late effect must not meet the next change
			return
		}
		l.readBack(ctx, to, path, ref, id)
	})
}

// readBack reads a revision that nobody else changes: it must be what was
// acknowledged (P4).
func (l *load) readBack(ctx context.Context, to workload.Client, path, revision, want string) {
	var got string
	err := l.do("read back", func() (err error) {
		got, err = to.Find(ctx, path, revision)
		return err
	})
	if err == nil && got != want {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.stale = append(l.stale, fmt.Sprintf("%s %s of %q is %q, acknowledged was %q", time.Now().Format(clock), revision, path, got, want))
	}
}

// stutterer commits twice in a while, the second time slowly, so that it is in
// flight when the repair begins that the first one called for, or comes into it.
// Then it waits until the mark has closed and any storage may answer, and reads
// back.
func (l *load) stutterer(to workload.Client, path, name string, random *rand.Rand) {
	p := workload.At(to.VirtualStorage, path)
	l.worker(time.Second, func(ctx context.Context, n int) {
		id := ""
		for half, longest := range []time.Duration{time.Millisecond, 150 * time.Millisecond} {
			workload.Wait(ctx, from(random, 0, longest))
			subject := fmt.Sprintf("%s-%d-%d", name, n, half)
			err := l.do("commit", func() (err error) {
				id, err = to.CommitSlowly(ctx, path, name, subject, from(random, 0, longest))
				l.history.Commit(p, name, subject, err)
				return err
			})
			if err != nil {
				return
			}
		}
		workload.Wait(ctx, intentClosed)
		for range 5 {
			l.readBack(ctx, to, path, "refs/heads/"+name, id)
		}
	})
}

// hasty hangs up on its commits, mostly before their end.
func (l *load) hasty(to workload.Client, path, name string, random *rand.Rand) {
	p := workload.At(to.VirtualStorage, path)
	l.worker(500*time.Millisecond, func(ctx context.Context, n int) {
		patience, cancel := context.WithCancel(ctx)
		defer cancel()
		hangUp := time.AfterFunc(from(random, time.Millisecond, 80*time.Millisecond), cancel)
		defer hangUp.Stop()
		subject := fmt.Sprintf("%s-%d", name, n)
		_ = l.do("hasty commit", func() error {
			_, err := to.Commit(patience, path, name, subject)
			l.history.Commit(p, name, subject, err)
			return err
		})
	})
}

// pusher pushes to a branch of its own with git.
func (l *load) pusher(w *checkout, virtualStorage, path, name string) {
	p := workload.At(virtualStorage, path)
	l.history.Inherits(p, name, "first")
	l.worker(200*time.Millisecond, func(ctx context.Context, n int) {
		_ = l.do("push", func() error {
			subject := fmt.Sprintf("%s-%d", name, n)
			err := w.push(ctx, name, subject)
			l.history.Commit(p, name, subject, err)
			return err
		})
	})
}

// mayfly makes a repository, commits to it, and removes every other one.
func (l *load) mayfly(to workload.Client, prefix string) {
	l.worker(300*time.Millisecond, func(ctx context.Context, n int) {
		path := fmt.Sprintf("%s-%d.git", prefix, n)
		p := workload.At(to.VirtualStorage, path)
		err := l.do("create", func() error {
			err := to.Create(ctx, path)
			l.history.Existence(p, true, err)
			return err
		})
		if err != nil {
			return
		}
		err = l.do("commit", func() error {
			_, err := to.Commit(ctx, path, "main", "only")
			l.history.Commit(p, "main", "only", err)
			return err
		})
		if err != nil || n%2 == 0 {
			return
		}
		_ = l.do("remove", func() error {
			err := to.Remove(ctx, path)
			l.history.Existence(p, false, err)
			return err
		})
	})
}

// reader reads a repository that nobody writes to.
func (l *load) reader(to workload.Client, path string) {
	l.worker(20*time.Millisecond, func(ctx context.Context, _ int) {
		_ = l.do("read", func() error {
			id, err := to.Find(ctx, path, "refs/heads/main")
			if err == nil && id == "" {
				err = fmt.Errorf("%q has no branch main", path)
			}
			return err
		})
	})
}

// counts are the operations of some kinds that succeeded so far.
func (l *load) counts(kinds ...string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range kinds {
		n += l.done[kind]
	}
	return n
}

// fine fails the test if any operation did so far, or a read was stale.
func (l *load) fine(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("operations: %v, slowest: %v", l.done, l.slowest)
	const shown = 10
	if n := len(l.faults); n > 0 {
		t.Errorf("%d operations failed, such as:\n%s", n, strings.Join(l.faults[:min(n, shown)], "\n"))
	}
	l.neverStale(t)
}

// neverStale fails the test if a read was stale. Caller holds mu, or has ended
// the load.
func (l *load) neverStale(t *testing.T) {
	t.Helper()
	if len(l.stale) > 0 {
		t.Errorf("%d reads were stale:\n%s", len(l.stale), strings.Join(l.stale, "\n"))
	}
}
