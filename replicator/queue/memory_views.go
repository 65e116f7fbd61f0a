package queue

import (
	"context"
	"slices"
	"time"

	"praefect/fsm/state"
)

// List implements Queue.
func (m *Memory) List(ctx context.Context, filter ListFilter) ([]Job, error) {
	var jobs []Job
	err := m.do(ctx, OpList, func(time.Time) error {
		found := m.find(func(j *Job) bool {
			return j.ID > filter.After && matches(filter.VirtualStorage, j.VirtualStorage) && matches(filter.State, j.State) &&
				matches(filter.RelativePath, j.RelativePath)
		})
		for _, job := range found[:min(Bound(filter.Limit), len(found))] {
			jobs = append(jobs, job.clone())
		}
		return nil
	})
	return jobs, err
}

// Depth implements Queue.
func (m *Memory) Depth(ctx context.Context, limit int) ([]Depth, error) {
	var depths []Depth
	err := m.do(ctx, OpDepth, func(time.Time) error {
		type row struct {
			virtualStorage string
			state          State
		}
		counts := make(map[row]int)
		for _, job := range m.jobs {
			counts[row{job.VirtualStorage, job.State}]++
		}
		for r, n := range counts {
			bound := DepthBound(limit)
			depths = append(depths, Depth{r.virtualStorage, r.state, min(n, bound), n > bound})
		}
		slices.SortFunc(depths, Depth.Compare)
		return nil
	})
	return depths, err
}

// Drop implements Queue.
func (m *Memory) Drop(ctx context.Context, filter DropFilter) (n int, err error) {
	if err := filter.Valid(); err != nil {
		return 0, err
	}
	err = m.do(ctx, OpDrop, func(time.Time) error {
		found := m.find(func(j *Job) bool {
			return j.State == filter.State && matches(filter.VirtualStorage, j.VirtualStorage) && matches(filter.RelativePath, j.RelativePath)
		})
		for _, job := range found[:min(Bound(filter.Limit), len(found))] {
			delete(m.jobs, job.Key)
			n++
		}
		return nil
	})
	return n, err
}

// Missing implements Queue.
func (m *Memory) Missing(ctx context.Context, keys []state.Key) ([]state.Key, error) {
	var missing []state.Key
	err := m.do(ctx, OpMissing, func(time.Time) error {
		for _, key := range keys {
			if _, exists := m.jobs[key]; !exists {
				missing = append(missing, key)
			}
		}
		return nil
	})
	return missing, err
}
