package replicator

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"pgregory.net/rapid"

	"praefect/fsm/state"
	"praefect/replicator/queue"
	"praefect/test/must"
)

// replicating runs a replicator and the instance's ledger until the function
// that it returns is called.
func (w *fixture) replicating(t *testing.T, cfg Config) (stop func()) {
	_, stop = w.replicatingAs(t, cfg)
	return stop
}

func (w *fixture) replicatingAs(t *testing.T, cfg Config) (r *Replicator, stop func()) {
	if cfg.ReconcileInterval == 0 {
		cfg.ReconcileInterval = 5 * time.Minute
	}
	r = w.replicator(cfg)
	stopLedger := w.running()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		stopLedger()
	}
}

func TestReplicator_repairsAWriteAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		r, stop := w.replicatingAs(t, Config{})
		defer stop()
		time.Sleep(10 * time.Second)
		w.mustWrite(t, "a.git", "1", false)
		r.Enqueue(key("a.git"))
		until(t, 100*time.Millisecond, func() bool { return w.equal() == "" })
		until(t, 100*time.Millisecond, func() bool { return w.entry("a.git") == nil && len(w.jobs(t)) == 0 })
	})
}

func TestReplicator_queueAwayForAWhile(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault func(queue.Operation) (bool, error)
	}{
		{"away", away},
		{"outcome unknown", func(queue.Operation) (bool, error) { return true, queue.ErrUnavailable }},
		{"hung", func(queue.Operation) (bool, error) {
			time.Sleep(6 * time.Second)
			return false, context.DeadlineExceeded
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *fixture) {
				w.setQueueFault(row.fault)
				r, stop := w.replicatingAs(t, Config{QueueTimeout: 5 * time.Second})
				defer stop()
				time.Sleep(10 * time.Second)
				for i := range 10 {
					path := fmt.Sprintf("%d.git", i)
					w.mustWrite(t, path, "1", false)
					r.Enqueue(key(path))
				}
				w.mustWrite(t, "nobody was told.git", "1", false)
				time.Sleep(30 * time.Minute)
				if r.QueueAnswers() {
					t.Error("the queue is said to answer")
				}
				w.setQueueFault(nil)
				until(t, 20*time.Second, func() bool { return w.equal() == "" })
				if !r.QueueAnswers() {
					t.Error("the queue is said to be away")
				}
			})
		})
	}
}

func TestReplicator_stopGivesCopiesTimeToEnd(t *testing.T) {
	for _, row := range []struct {
		copies  time.Duration
		inDoubt bool
	}{{3 * time.Second, false}, {20 * time.Second, true}} {
		bubble(t, func(t *testing.T, w *fixture) {
			w.replicates(row.copies)
			r, stop := w.replicatingAs(t, Config{StopGrace: 5 * time.Second})
			w.mustWrite(t, "a.git", "1", false)
			r.Enqueue(key("a.git"))
			time.Sleep(time.Second)
			began := time.Now()
			stop()
			if took := time.Since(began); took > 6*time.Second {
				t.Errorf("stopped after %v", took)
			}
			if got := w.entry("a.git").HasDoubt(); got != row.inDoubt {
				t.Errorf("copies of %v: in doubt %v", row.copies, got)
			}
		})
	}
}

// TestReplicator_endsEqualWhateverFails lets calls, proposals and the queue
// fail at random, kills the process at random, and writes meanwhile. Then it
// lets everything be well, and expects all replicas to be equal.
func TestReplicator_endsEqualWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.IntRange(0, 99), 50, 400).Draw(rt, "script")
		var faults []string
		synctest.Test(t, func(t *testing.T) {
			w := newFixture(t)
			faults = w.live(t, script)
		})
		if len(faults) > 0 {
			rt.Fatal(strings.Join(faults, "\n"))
		}
	})
}

// live plays a script of accidents, each number of which decides one thing.
func (w *fixture) live(t *testing.T, script []int) []string {
	next := 0
	draw := func(n int) int { // holds w.mu, or is the only one
		next++
		return script[next%len(script)] % n
	}
	cfg := Config{PauseBudget: 5 * time.Second, CopyFloor: 10 * time.Second, LookTimeout: 5 * time.Second, DeadRetry: time.Minute, Lease: 6 * time.Second}
	w.mu.Lock()
	w.faults = func(string, string) fate {
		switch draw(12) {
		case 0:
			return fate{err: status.Error(codes.Internal, "broken")}
		case 1:
			return fate{err: status.Error(codes.Internal, "broken"), happens: true}
		case 2:
			return fate{err: status.Error(codes.Unavailable, "lost"), lost: true}
		case 3:
			return fate{err: status.Error(codes.Unavailable, "lost"), lost: true, happens: true, late: time.Duration(draw(10)) * time.Second}
		case 4:
			return fate{slow: time.Duration(draw(20)) * time.Second, late: time.Second}
		}
		return fate{}
	}
	w.fate = func([]state.Command) (bool, error) {
		switch draw(12) {
		case 0:
			return false, fmt.Errorf("no leader")
		case 1:
			return true, fmt.Errorf("leadership lost")
		}
		return true, nil
	}
	w.faultQ = func(queue.Operation) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return draw(5) != 0, [...]error{nil, nil, nil, queue.ErrUnavailable}[draw(4)]
	}
	w.mu.Unlock()

	r, stop := w.replicatingAs(t, cfg)
	// A path that was deleted is not used again: a create whose account is
	// committed and which then fails leaves nobody to tell that it was deleted.
	generation := [3]int{}
	for range 40 {
		w.mu.Lock()
		what, n, content := draw(20), draw(3), fmt.Sprint(draw(100))
		path := fmt.Sprintf("%d/%d.git", n, generation[n])
		storage := []string{"g1", "g2", "g3"}[draw(3)]
		w.mu.Unlock()
		switch what {
		case 0:
			content = ""
			generation[n]++
			fallthrough
		case 1, 2, 3, 4, 5, 6, 7:
			if err := w.write(t.Context(), path, content, what == 1); err == nil {
				r.Enqueue(key(path))
			}
		case 8, 9:
			w.reach(storage, what == 8)
		case 10:
			w.mu.Lock()
			w.node.dead = true
			fate := w.fate
			w.fate = nil
			w.mu.Unlock()
			stop()
			w.start()
			w.mu.Lock()
			w.fate = fate
			w.mu.Unlock()
			r, stop = w.replicatingAs(t, cfg)
		default:
			time.Sleep(time.Duration(what-10) * time.Second)
		}
	}
	w.mu.Lock()
	w.faults, w.fate, w.faultQ = nil, nil, nil
	w.mu.Unlock()
	for _, storage := range []string{"g1", "g2", "g3"} {
		w.reach(storage, true)
	}
	for began := time.Now(); w.equal() != "" && time.Since(began) < 2*time.Hour; {
		time.Sleep(10 * time.Second)
	}
	faults := w.broke()
	if fault := w.equal(); fault != "" {
		faults = append(faults, fault, fmt.Sprintf("%+v", w.anyJobs()))
	}
	stop()
	if len(faults) > 0 {
		faults = append(faults, w.log...)
	}
	return faults
}

func TestMetrics_areWellFormedAndTellOfTheLedger(t *testing.T) {
	bubble(t, func(t *testing.T, w *fixture) {
		w.mustWrite(t, "a.git", "1", false)
		w.inDoubt("b.git", state.Scope{})
		reg := prometheus.NewPedanticRegistry()
		metrics := NewMetrics(reg, w.node)
		metrics.setDepths([]queue.Depth{{VirtualStorage: vsName, State: queue.Failed, Count: 3}})
		metrics.change(vsName, "g2", changeUpdate)
		metrics.delay.WithLabelValues(changeUpdate).Observe(1)
		problems, err := testutil.GatherAndLint(reg)
		must.Succeed(t, err)
		for _, problem := range problems {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
		want := `
# HELP praefect_behind_repositories Repositories of which the storage misses an acknowledged write.
# TYPE praefect_behind_repositories gauge
praefect_behind_repositories{gitaly_storage="g1",virtual_storage="default"} 0
praefect_behind_repositories{gitaly_storage="g2",virtual_storage="default"} 1
praefect_behind_repositories{gitaly_storage="g3",virtual_storage="default"} 1
# HELP praefect_in_doubt_repositories Repositories with a write that ended without full account and is not resolved yet.
# TYPE praefect_in_doubt_repositories gauge
praefect_in_doubt_repositories{virtual_storage="default"} 1
# HELP gitaly_praefect_unavailable_repositories Repositories without an in-sync storage that serves: no writes, and no reads unless stale ones are permitted.
# TYPE gitaly_praefect_unavailable_repositories gauge
gitaly_praefect_unavailable_repositories{virtual_storage="default"} 0
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "praefect_behind_repositories",
			"praefect_in_doubt_repositories", "gitaly_praefect_unavailable_repositories"); err != nil {
			t.Error(err)
		}
	})
}
