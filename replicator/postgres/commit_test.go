package postgres

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"praefect/replicator/queue"
	"praefect/test/must"
)

// patient has no bound that a busy machine reaches: what is cut here is cut by the relay.
var patient = Config{ConnectTimeout: time.Minute, Timeout: time.Minute, LockTimeout: time.Minute}

// cutCase is an operation whose commit is cut, from a state that direct calls have prepared.
type cutCase struct {
	prepare func(t *testing.T, q *Queue)
	// run must have its effect once, however often its commit is cut. It returns what the caller got.
	run func(ctx context.Context, q *Queue) (any, error)
	// got is what the caller gets when the first connection was cut and the second was not.
	got any
	// before and after are the states without and with the effect.
	before, after []queue.Job
}

func cutCases() map[string]cutCase {
	key := requests("a.git")[0].Key
	ready := queue.Job{Key: key, State: queue.Ready}
	running := queue.Job{Key: key, State: queue.InProgress, Attempt: 1, Worker: "w"}
	with := func(job queue.Job, change func(j *queue.Job)) []queue.Job { change(&job); return []queue.Job{job} }
	enqueue := func(t *testing.T, q *Queue) { t.Helper(); must.Succeed(t, q.Enqueue(t.Context(), requests("a.git"))) }
	claim := func(t *testing.T, q *Queue) {
		t.Helper()
		enqueue(t, q)
		jobs, err := q.Dequeue(t.Context(), claimOf(1))
		if err != nil || len(jobs) != 1 {
			t.Fatalf("got %+v, %v, want a job", jobs, err)
		}
	}
	acknowledge := func(outcome queue.Outcome) func(ctx context.Context, q *Queue) (any, error) {
		return func(ctx context.Context, q *Queue) (any, error) {
			return nil, q.Acknowledge(ctx, queue.Attempt{JobID: 1, Number: 1}, outcome)
		}
	}
	return map[string]cutCase{
		"enqueue": {
			prepare: func(*testing.T, *Queue) {},
			run: func(ctx context.Context, q *Queue) (any, error) {
				return nil, q.Enqueue(ctx, requests("a.git"))
			},
			after: []queue.Job{ready},
		},
		"enqueue during an attempt": {
			prepare: claim,
			run: func(ctx context.Context, q *Queue) (any, error) {
				return nil, q.Enqueue(ctx, requests("a.git"))
			},
			before: []queue.Job{running},
			after:  with(running, func(j *queue.Job) { j.Again = true }),
		},
		"dequeue": {
			prepare: enqueue,
			run: func(ctx context.Context, q *Queue) (any, error) {
				jobs, err := q.Dequeue(ctx, claimOf(5))
				return len(jobs), err
			},
			got:    1,
			before: []queue.Job{ready},
			after:  []queue.Job{running},
		},
		"complete": {
			prepare: claim, run: acknowledge(queue.Complete()), before: []queue.Job{running},
		},
		"postpone": {
			prepare: claim, run: acknowledge(queue.Postpone(time.Hour)), before: []queue.Job{running},
			after: with(running, func(j *queue.Job) { j.State = queue.Ready }),
		},
		"fail": {
			prepare: claim, run: acknowledge(queue.Fail(time.Hour, errors.New("cause"))), before: []queue.Job{running},
			after: with(running, func(j *queue.Job) { j.State, j.Failures, j.LastError = queue.Failed, 1, "cause" }),
		},
		"bury": {
			prepare: claim, run: acknowledge(queue.Bury(0, errors.New("cause"))), before: []queue.Job{running},
			after: with(running, func(j *queue.Job) { j.State, j.Failures, j.LastError = queue.Dead, 1, "cause" }),
		},
		"heartbeat": {
			prepare: claim,
			run: func(ctx context.Context, q *Queue) (any, error) {
				lost, err := q.Heartbeat(ctx, time.Hour, []queue.Attempt{{JobID: 1, Number: 1}})
				return len(lost), err
			},
			got: 0, before: []queue.Job{running}, after: []queue.Job{running},
		},
		"retry": {
			prepare: func(t *testing.T, q *Queue) {
				t.Helper()
				claim(t, q)
				must.Succeed(t, q.Acknowledge(t.Context(), queue.Attempt{JobID: 1, Number: 1}, queue.Bury(0, nil)))
			},
			run: func(ctx context.Context, q *Queue) (any, error) {
				_, err := q.Retry(ctx, queue.RetryFilter{})
				return nil, err
			},
			before: with(running, func(j *queue.Job) { j.State, j.Failures = queue.Dead, 1 }),
			after:  with(running, func(j *queue.Job) { j.State = queue.Ready }),
		},
	}
}

func TestQueue_commitCutOnce(t *testing.T) {
	for name, c := range cutCases() {
		for _, when := range []moment{beforeCommit, afterCommit} {
			t.Run(fmt.Sprintf("%s/%d", name, when), func(t *testing.T) {
				dsn := newDatabase(t)
				direct := NewQueue(migrated(t, dsn, patient))
				c.prepare(t, direct)
				relay, through := throughRelay(t, dsn, shared.Addr())
				q := NewQueue(open(t, through, patient))
				relay.cut.Store(int32(when))
				got, err := c.run(t.Context(), q)
				must.Succeed(t, err)
				if got != c.got {
					t.Errorf("got %v, want %v", got, c.got)
				}
				if n := relay.cuts.Load(); n != 1 {
					t.Errorf("%d connections were cut, want 1", n)
				}
				wantJobs(t, direct, c.after)
			})
		}
	}
}

func TestQueue_commitCutAndServerGone(t *testing.T) {
	for name, c := range cutCases() {
		for _, when := range []moment{beforeCommit, afterCommit} {
			t.Run(fmt.Sprintf("%s/%d", name, when), func(t *testing.T) {
				dsn := newDatabase(t)
				direct := NewQueue(migrated(t, dsn, patient))
				c.prepare(t, direct)
				relay, through := throughRelay(t, dsn, shared.Addr())
				q := NewQueue(open(t, through, patient))
				relay.refuse.Store(true)
				relay.cut.Store(int32(when))
				_, err := c.run(t.Context(), q)
				if !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, queue.ErrOutcomeUnknown) {
					t.Fatalf("got error %v, want unavailable, outcome unknown", err)
				}
				if when == afterCommit {
					wantJobs(t, direct, c.after)
					return
				}
				wantJobs(t, direct, c.before)
				relay.refuse.Store(false)
				if _, err := c.run(t.Context(), q); err != nil {
					t.Fatalf("repeat: %v", err)
				}
				wantJobs(t, direct, c.after)
			})
		}
	}
}

func TestQueue_connectionLostBeforeCommitIsNoUnknownOutcome(t *testing.T) {
	dsn := newDatabase(t)
	migrated(t, dsn, patient)
	relay, through := throughRelay(t, dsn, shared.Addr())
	q := NewQueue(open(t, through, patient))
	relay.refuse.Store(true)
	err := q.Enqueue(t.Context(), requests("a.git"))
	if !errors.Is(err, queue.ErrUnavailable) || errors.Is(err, queue.ErrOutcomeUnknown) {
		t.Errorf("got error %v, want unavailable and certain", err)
	}
}

func TestQueue_commitNeverAnswered(t *testing.T) {
	dsn := newDatabase(t)
	direct := NewQueue(migrated(t, dsn, patient))
	relay, through := throughRelay(t, dsn, shared.Addr())
	q := NewQueue(open(t, through, Config{Timeout: 3 * time.Second}))
	relay.cut.Store(int32(atCommit))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := q.Enqueue(ctx, requests("a.git"))
	if !errors.Is(err, queue.ErrUnavailable) || !errors.Is(err, queue.ErrOutcomeUnknown) || ctx.Err() != nil {
		t.Errorf("got error %v, want unavailable, outcome unknown, within the bound", err)
	}
	must.Succeed(t, q.Enqueue(ctx, requests("a.git")))
	wantJobs(t, direct, []queue.Job{{Key: requests("a.git")[0].Key, State: queue.Ready}})
}

// wantJobs compares the queue with jobs, apart from ids and times.
func wantJobs(t *testing.T, q *Queue, want []queue.Job) {
	t.Helper()
	ignored := cmpopts.IgnoreFields(queue.Job{}, "ID", "Created", "Updated", "NotBefore", "ClaimedUntil")
	if diff := cmp.Diff(want, list(t, q), ignored, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}
