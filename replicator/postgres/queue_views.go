package postgres

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/lib/pq"

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
	var jobs []queue.Job
	err := q.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) (err error) {
		jobs, err = queryJobs(ctx, tx, statement, args...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

// Depth implements queue.Queue.
func (q *Queue) Depth(ctx context.Context, limit int) ([]queue.Depth, error) {
	limit = queue.DepthBound(limit)
	var depths []queue.Depth
	err := q.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		rows, err := tx.QueryContext(ctx, depthSQL, int64(limit)+1)
		if err != nil {
			return err
		}
		depths = nil
		return scanAll(rows, func() error {
			var d queue.Depth
			err := rows.Scan(&d.VirtualStorage, &d.State, &d.Count, &d.AtLeast)
			d.Count = min(d.Count, limit)
			depths = append(depths, d)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("count jobs: %w", err)
	}
	slices.SortFunc(depths, queue.Depth.Compare)
	return depths, nil
}

// Missing implements queue.Queue.
func (q *Queue) Missing(ctx context.Context, keys []queue.Key) ([]queue.Key, error) {
	var missing []queue.Key
	for batch := range slices.Chunk(keys, queue.MaxBatch) {
		some, err := q.missing(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("look for the jobs of %d keys: %w", len(keys), err)
		}
		missing = append(missing, some...)
	}
	return missing, nil
}

func (q *Queue) missing(ctx context.Context, keys []queue.Key) ([]queue.Key, error) {
	virtualStorages, paths := make([]string, len(keys)), make([]string, len(keys))
	for i, key := range keys {
		if key.Valid() == nil { // what could never be stored is looked up as the empty key, which has no job
			virtualStorages[i], paths[i] = key.VirtualStorage, key.RelativePath
		}
	}
	var missing []queue.Key
	err := q.db.serve(ctx, func(ctx context.Context, tx *sql.Tx, _ bool) error {
		rows, err := tx.QueryContext(ctx, missingSQL, pq.Array(virtualStorages), pq.Array(paths))
		if err != nil {
			return err
		}
		missing = nil
		return scanAll(rows, func() error {
			var nth int
			err := rows.Scan(&nth)
			if err == nil {
				missing = append(missing, keys[nth-1])
			}
			return err
		})
	})
	return missing, err
}

// queryJobs runs a statement that yields columns.
func queryJobs(ctx context.Context, tx *sql.Tx, statement string, args ...any) ([]queue.Job, error) {
	rows, err := tx.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	var jobs []queue.Job
	err = scanAll(rows, func() error {
		job, err := scanJob(rows)
		jobs = append(jobs, job)
		return err
	})
	return jobs, err
}

func scanJob(rows *sql.Rows) (queue.Job, error) {
	var job queue.Job
	var targets []byte
	var claimedUntil sql.NullTime
	if err := rows.Scan(&job.ID, &job.VirtualStorage, &job.RelativePath, &targets, &job.Reason, &job.CorrelationID,
		&job.State, &job.Attempt, &job.Failures, &job.Again, &job.Worker, &job.LastError, &job.WaitsFor,
		&job.Created, &job.Updated, &job.NotBefore, &claimedUntil); err != nil {
		return queue.Job{}, err
	}
	job.Created, job.Updated, job.NotBefore = job.Created.UTC(), job.Updated.UTC(), job.NotBefore.UTC()
	if claimedUntil.Valid {
		job.ClaimedUntil = claimedUntil.Time.UTC()
	}
	if err := json.Unmarshal(targets, &job.Targets); err != nil {
		return queue.Job{}, fmt.Errorf("read the targets of job %d: %w", job.ID, err)
	}
	return job, nil
}

// scanAll calls scan for each row, and leaves the rows closed however it ends.
func scanAll(rows *sql.Rows, scan func() error) error {
	for rows.Next() {
		if err := scan(); err != nil {
			return errors.Join(fmt.Errorf("read a row: %w", err), rows.Close())
		}
	}
	return rows.Err() // Next closed them
}
