package postgres

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lib/pq"

	"praefect/replicator/queue"
)

// Queue is the replication queue in the table praefect_raft.jobs. It implements queue.Queue.
type Queue struct {
	db     *DB
	cursor *cursor
}

var _ queue.Queue = (*Queue)(nil)

// NewQueue returns the queue of a database. Until Migrate has made its table, calls are refused as unavailable.
func NewQueue(db *DB) *Queue { return &Queue{db: db, cursor: newCursor()} }

// request is a queue.Request as enqueueSQL reads it.
type request struct {
	VirtualStorage string   `json:"virtual_storage"`
	RelativePath   string   `json:"relative_path"`
	Delay          int64    `json:"delay"`
	Targets        []string `json:"targets"`
	Reason         string   `json:"reason"`
	CorrelationID  string   `json:"correlation_id"`
}

// Enqueue implements queue.Queue. A key is the id of its own that makes it safe to repeat.
func (q *Queue) Enqueue(ctx context.Context, requests []queue.Request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("enqueue: %w", err)
	}
	valid, refused := queue.Prepare(requests)
	for batch := range slices.Chunk(valid, queue.MaxBatch) {
		if err := q.enqueue(ctx, batch); err != nil {
			return errors.Join(fmt.Errorf("enqueue %d jobs: %w", len(valid), err), refused)
		}
	}
	return tried(refused, "enqueue")
}

func (q *Queue) enqueue(ctx context.Context, batch []queue.Request) error {
	rows := make([]request, len(batch))
	for i, r := range batch {
		rows[i] = request{r.VirtualStorage, r.RelativePath, r.Delay.Microseconds(), r.Targets, r.Reason, r.CorrelationID}
	}
	encoded, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode the requests: %w", err)
	}
	_, err = q.db.change(ctx, enqueueSQL, string(encoded))
	return err
}

// Dequeue implements queue.Queue. Each claim has an id of its own, by which a repeated run finds the jobs that an unanswered
// commit has claimed.
func (q *Queue) Dequeue(ctx context.Context, claim queue.Claim) ([]queue.Job, error) {
	if err := claim.Valid(); err != nil {
		return nil, fmt.Errorf("dequeue: %w", err)
	}
	look := q.cursor.look(claim.VirtualStorage, time.Now())
	id, worker := rand.Text(), queue.CleanText(claim.Worker)
	jobs, err := served(ctx, q.db, func(ctx context.Context, tx *sql.Tx, repeated bool) ([]queue.Job, error) {
		if repeated {
			if jobs, err := queryJobs(ctx, tx, claimedSQL, id); err != nil || len(jobs) > 0 {
				return jobs, err
			}
		}
		return queryJobs(ctx, tx, claimSQL, claim.VirtualStorage, look.from, queue.Bound(claim.Limit), worker, id,
			claim.Lease.Microseconds())
	})
	if err != nil {
		return nil, fmt.Errorf("dequeue jobs of %q: %w", claim.VirtualStorage, err)
	}
	slices.SortFunc(jobs, func(a, b queue.Job) int {
		return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.ID, b.ID))
	})
	q.cursor.looked(claim.VirtualStorage, look, jobs, time.Now())
	return jobs, nil
}

// Heartbeat implements queue.Queue.
func (q *Queue) Heartbeat(ctx context.Context, lease time.Duration, running []queue.Attempt) ([]queue.Attempt, error) {
	if err := queue.LeaseValid(lease); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	ids, numbers := split(running)
	extended, err := fetch(ctx, q.db, func(row *sql.Rows, a *queue.Attempt) error { return row.Scan(&a.JobID, &a.Number) },
		heartbeatSQL, ids, numbers, lease.Microseconds())
	if err != nil {
		return nil, fmt.Errorf("extend %d leases: %w", len(running), err)
	}
	return slices.DeleteFunc(slices.Clone(running), func(a queue.Attempt) bool { return slices.Contains(extended, a) }), nil
}

// split makes two arrays of attempts, as statements take them.
func split(attempts []queue.Attempt) (ids, numbers pq.Int64Array) {
	ids, numbers = make(pq.Int64Array, len(attempts)), make(pq.Int64Array, len(attempts))
	for i, a := range attempts {
		ids[i], numbers[i] = a.JobID, int64(a.Number)
	}
	return ids, numbers
}

// Acknowledge implements queue.Queue. The attempt is the id of its own by which a repeated run finds out that the
// unanswered commit was executed: then it does not run any more.
func (q *Queue) Acknowledge(ctx context.Context, attempt queue.Attempt, outcome queue.Outcome) error {
	if err := outcome.Valid(); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	err := q.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, repeated bool) error {
		n, err := end(ctx, tx, attempt, outcome)
		if err == nil && n == 0 && !repeated {
			return queue.ErrStaleAttempt
		}
		return err
	})
	return tried(err, "acknowledge attempt %d of job %d", attempt.Number, attempt.JobID)
}

// end takes a job out of its attempt and returns how many rows that changed: one, or none if the attempt does not run.
func end(ctx context.Context, tx *sql.Tx, a queue.Attempt, outcome queue.Outcome) (int, error) {
	wait := func(state queue.State, failures int) (int, error) {
		return affected(ctx, tx, waitSQL, a.JobID, a.Number, string(state), failures, outcome.Cause(), outcome.Delay().Microseconds(), outcome.Waits())
	}
	switch outcome.Kind() {
	case queue.OutcomeCompleted:
		n, err := affected(ctx, tx, completeSQL, a.JobID, a.Number)
		if err != nil || n > 0 {
			return n, err
		}
		return affected(ctx, tx, rearmSQL, a.JobID, a.Number)
	case queue.OutcomePostponed:
		return wait(queue.Ready, 0)
	case queue.OutcomeFailed:
		return wait(queue.Failed, 1)
	case queue.OutcomeDead:
		return wait(queue.Dead, 1)
	}
	return 0, fmt.Errorf("%w: outcome %d", queue.ErrInvalid, outcome.Kind())
}

// Reclaim implements queue.Queue.
func (q *Queue) Reclaim(ctx context.Context, worker string, running ...queue.Attempt) (int, error) {
	ids, numbers := split(running)
	n, err := q.db.change(ctx, reclaimSQL, queue.MaxBatch, queue.LostCause, queue.CleanText(worker), ids, numbers)
	return n, tried(err, "reclaim jobs")
}

// Retry implements queue.Queue.
func (q *Queue) Retry(ctx context.Context, filter queue.RetryFilter) (int, error) {
	n, err := q.db.change(ctx, retrySQL, queue.Bound(filter.Limit), filter.VirtualStorage, filter.RelativePath, filter.DeadFor.Microseconds(), filter.Failed)
	return n, tried(err, "retry jobs")
}

// Drop implements queue.Queue.
func (q *Queue) Drop(ctx context.Context, filter queue.DropFilter) (int, error) {
	if err := filter.Valid(); err != nil {
		return 0, fmt.Errorf("drop jobs: %w", err)
	}
	statement := dropTroubledSQL
	if filter.State == queue.Ready {
		statement = dropReadySQL
	}
	n, err := q.db.change(ctx, statement, queue.Bound(filter.Limit), filter.VirtualStorage, queue.CleanText(filter.RelativePath), string(filter.State))
	return n, tried(err, "drop jobs")
}
