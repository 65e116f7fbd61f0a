package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
	"praefect/replicator/queue/queuetest"
	"praefect/test/must"
)

func TestQueue_contract(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{})
	queuetest.Exercise(t, func(t *testing.T) queue.Queue {
		_, err := db.pool.ExecContext(t.Context(), "truncate praefect_raft.jobs")
		must.Succeed(t, err)
		return NewQueue(db)
	})
}

// A claim that is not committed yet delays no other; and the jobs that it locked are found when it comes to nothing.
func TestQueue_claimsPassOverEachOther(t *testing.T) {
	dsn := newDatabase(t)
	db := migrated(t, dsn, Config{})
	q := NewQueue(db)
	must.Succeed(t, q.Enqueue(t.Context(), requests("a.git")))
	must.Succeed(t, q.Enqueue(t.Context(), requests("b.git")))
	tx, err := db.pool.BeginTx(t.Context(), nil)
	must.Succeed(t, err)
	first, err := queryJobs(t.Context(), tx, claimSQL, storage, time.Time{}, 1, "other", "id", int64(1e6))
	must.Succeed(t, err)
	second, err := q.Dequeue(t.Context(), claimOf(2))
	must.Succeed(t, err)
	if len(first) != 1 || len(second) != 1 || second[0].RelativePath != "b.git" {
		t.Errorf("got %+v beside %+v, want b.git", second, first)
	}
	must.Succeed(t, tx.Rollback())
	await(t, "the job that was passed over", func() bool {
		jobs, err := q.Dequeue(t.Context(), claimOf(2))
		must.Succeed(t, err)
		return len(jobs) == 1 && jobs[0].RelativePath == "a.git"
	})
}

// A heartbeat writes the row on its own page and no index.
func TestQueue_heartbeatTouchesNoIndex(t *testing.T) {
	db := migrated(t, newDatabase(t), Config{})
	q := NewQueue(db)
	must.Succeed(t, q.Enqueue(t.Context(), requests("a.git")))
	jobs, err := q.Dequeue(t.Context(), claimOf(1))
	must.Succeed(t, err)
	tx, err := db.pool.BeginTx(t.Context(), nil)
	must.Succeed(t, err)
	defer func() { must.Succeed(t, tx.Rollback()) }()
	n, err := affected(t.Context(), tx, heartbeatSQL, pq.Array([]int64{jobs[0].ID}), pq.Array([]int64{1}), int64(1e6))
	must.Succeed(t, err)
	var hot int
	must.Succeed(t, tx.QueryRowContext(t.Context(), "select pg_stat_get_xact_tuples_hot_updated('praefect_raft.jobs'::regclass)").Scan(&hot))
	if n != 1 || hot != 1 {
		t.Errorf("%d rows were updated, %d without an index, want one and one", n, hot)
	}
}

// load is workers that finish every job of a queue, and what they saw.
type load struct {
	queues  []*Queue // one a worker, as of different instances
	claim   queue.Claim
	refused func(err error) // what to do with an error: an expected one, or the end of the test

	mu       sync.Mutex
	finished map[string]int // completions acknowledged for each path; guarded by mu
}

// run works until no job is left.
func (l *load) run(t *testing.T) {
	t.Helper()
	var all sync.WaitGroup
	for i, q := range l.queues {
		all.Go(func() {
			claim := l.claim
			claim.Worker = fmt.Sprintf("w%d", i)
			for l.round(t.Context(), q, claim) {
			}
		})
	}
	all.Wait()
}

// count returns how many jobs were finished so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.finished)
}

// round claims and completes some jobs and says whether to go on.
func (l *load) round(ctx context.Context, q *Queue, claim queue.Claim) bool {
	jobs, err := q.Dequeue(ctx, claim)
	if err != nil {
		l.refused(err)
		return ctx.Err() == nil
	}
	for _, job := range jobs {
		if err := q.Acknowledge(ctx, job.Current(), queue.Complete()); err != nil {
			l.refused(err)
			continue
		}
		l.mu.Lock()
		l.finished[job.RelativePath]++
		l.mu.Unlock()
	}
	if len(jobs) > 0 {
		return true
	}
	if _, err := q.Reclaim(ctx, ""); err != nil {
		l.refused(err)
	}
	left, err := q.List(ctx, queue.ListFilter{Limit: 1})
	if err != nil {
		l.refused(err)
		return ctx.Err() == nil
	}
	return len(left) > 0
}

func TestQueue_workersShareTheJobs(t *testing.T) {
	const jobs, workers = 2000, 8
	dsn := newDatabase(t)
	l := &load{finished: make(map[string]int), claim: claimOf(5), refused: func(err error) { t.Error(err) }}
	for range workers {
		l.queues = append(l.queues, NewQueue(migrated(t, dsn, Config{MaxOpen: 2})))
	}
	must.Succeed(t, queuetest.Fill(t.Context(), l.queues[0], storage, jobs))
	l.run(t)
	wantEachOnce(t, l.finished, jobs)
}

func TestQueue_killedConnectionsLoseNothing(t *testing.T) {
	const jobs, workers = 600, 4
	dsn := newDatabase(t)
	var refusals atomic.Int64
	l := &load{
		finished: make(map[string]int),
		claim:    queue.Claim{VirtualStorage: storage, Limit: 3, Lease: 500 * time.Millisecond},
		refused: func(err error) {
			if !errors.Is(err, queue.ErrUnavailable) && !errors.Is(err, queue.ErrStaleAttempt) {
				t.Error(err)
			}
			refusals.Add(1)
		},
	}
	for range workers {
		l.queues = append(l.queues, NewQueue(migrated(t, dsn, Config{MaxOpen: 2})))
	}
	must.Succeed(t, queuetest.Fill(t.Context(), l.queues[0], storage, jobs))

	ctx, cancel := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	var kills atomic.Int64
	killer.Go(func() {
		db := open(t, dsn, Config{})
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		// A machine on which no transaction ends within a tick would get no job done. So a kill waits until one has ended.
		for seen := -1; ctx.Err() == nil; {
			<-tick.C
			now := l.count()
			if now == seen {
				continue
			}
			seen = now
			result, err := db.pool.ExecContext(ctx, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and pid <> pg_backend_pid() order by state = 'idle', random() limit 1`)
			if err != nil {
				continue // the test ends
			}
			n, err := result.RowsAffected()
			if err != nil {
				t.Error(err)
			}
			kills.Add(n)
		}
	})
	l.run(t)
	cancel()
	killer.Wait()

	if kills.Load() < 5 {
		t.Errorf("only %d connections were killed", kills.Load())
	}
	t.Logf("%d kills, %d refused calls", kills.Load(), refusals.Load())
	for path, n := range l.finished {
		if n > 1 {
			t.Errorf("%s was completed %d times", path, n)
		}
	}
	if left := list(t, l.queues[0]); len(left) != 0 {
		t.Errorf("%d jobs are left", len(left))
	}
}

// wantEachOnce fails unless each of the jobs of a Backfill was completed once.
func wantEachOnce(t *testing.T, finished map[string]int, jobs int) {
	t.Helper()
	if len(finished) != jobs {
		t.Errorf("%d paths were completed, want %d", len(finished), jobs)
	}
	for path, n := range finished {
		if n != 1 {
			t.Errorf("%s was completed %d times", path, n)
		}
	}
}
