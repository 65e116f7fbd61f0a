package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lib/pq"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// List implements queue.Queue.
func (q *Queue) List(ctx context.Context, filter queue.ListFilter) ([]queue.Job, error) {
	statement, args := listSQL, []any{filter.After, filter.VirtualStorage, string(filter.State), queue.Bound(filter.Limit)}
	switch {
	case filter.RelativePath != "":
		// A path that could not be stored is looked up as its text, which no job has.
		statement, args = listPathSQL, append(args, queue.CleanText(filter.RelativePath))
	case filter.State == queue.InProgress:
		statement = listRunningSQL
	case filter.State == queue.Failed || filter.State == queue.Dead:
		statement = listTroubledSQL
	}
	jobs, err := fetch(ctx, q.db, scanJob, statement, args...)
	return jobs, tried(err, "list jobs")
}

// Depth implements queue.Queue.
func (q *Queue) Depth(ctx context.Context, limit int) ([]queue.Depth, error) {
	limit = queue.DepthBound(limit)
	depths, err := fetch(ctx, q.db, func(row *sql.Rows, d *queue.Depth) error {
		err := row.Scan(&d.VirtualStorage, &d.State, &d.Count, &d.AtLeast)
		d.Count = min(d.Count, limit)
		return err
	}, depthSQL, int64(limit)+1)
	slices.SortFunc(depths, queue.Depth.Compare)
	return depths, tried(err, "count jobs")
}

// Missing implements queue.Queue.
func (q *Queue) Missing(ctx context.Context, keys []state.Key) ([]state.Key, error) {
	var missing []state.Key
	for batch := range slices.Chunk(keys, queue.MaxBatch) {
		some, err := q.missing(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("look for the jobs of %d keys: %w", len(keys), err)
		}
		missing = append(missing, some...)
	}
	return missing, nil
}

func (q *Queue) missing(ctx context.Context, keys []state.Key) ([]state.Key, error) {
	virtualStorages, paths := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		if queue.ValidKey(key) == nil { // what could never be stored is looked up as the empty key, which has no job
			virtualStorages[i], paths[i] = key.VirtualStorage, key.RelativePath
		}
	}
	return fetch(ctx, q.db, func(row *sql.Rows, key *state.Key) error {
		var nth int
		if err := row.Scan(&nth); err != nil {
			return err
		}
		*key = keys[nth-1]
		return nil
	}, missingSQL, pq.Array(virtualStorages), pq.Array(paths))
}

// queryJobs runs a statement that yields columns.
func queryJobs(ctx context.Context, tx *sql.Tx, statement string, args ...any) ([]queue.Job, error) {
	return query(ctx, tx, scanJob, statement, args...)
}

// scanJob reads a row of columns.
func scanJob(row *sql.Rows, job *queue.Job) error {
	var targets []byte
	var claimedUntil sql.NullTime
	if err := row.Scan(&job.ID, &job.VirtualStorage, &job.RelativePath, &targets, &job.Reason, &job.CorrelationID,
		&job.State, &job.Attempt, &job.Failures, &job.Again, &job.Worker, &job.LastError, &job.WaitsFor,
		&job.Created, &job.Updated, &job.NotBefore, &claimedUntil); err != nil {
		return err
	}
	job.Created, job.Updated, job.NotBefore = job.Created.UTC(), job.Updated.UTC(), job.NotBefore.UTC()
	if claimedUntil.Valid {
		job.ClaimedUntil = claimedUntil.Time.UTC()
	}
	return tried(json.Unmarshal(targets, &job.Targets), "read the targets of job %d", job.ID)
}
