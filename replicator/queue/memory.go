package queue

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
)

// Operation names a method of a Queue to a Fault.
type Operation string

// The operations of a Queue.
const (
	OpEnqueue     Operation = "enqueue"
	OpDequeue     Operation = "dequeue"
	OpHeartbeat   Operation = "heartbeat"
	OpAcknowledge Operation = "acknowledge"
	OpReclaim     Operation = "reclaim"
	OpRetry       Operation = "retry"
	OpDrop        Operation = "drop"
	OpList        Operation = "list"
	OpDepth       Operation = "depth"
	OpMissing     Operation = "missing"
)

// Fault decides how a call ends: whether it takes effect, and the error that the caller gets in
// place of the answer. With an error and apply set, the call happened and its answer was lost.
type Fault func(op Operation) (apply bool, err error)

// Memory is a Queue in memory: as durable as the process, deterministic, on the clock of package time.
type Memory struct {
	fault Fault // nil: none

	mu     sync.Mutex
	lastID int64              // guarded by mu
	jobs   map[state.Key]*Job // guarded by mu
}

var _ Queue = (*Memory)(nil)

// NewMemory returns an empty queue. A fault, if not nil, is asked before each call; it must be safe for concurrent use.
func NewMemory(fault Fault) *Memory {
	return &Memory{fault: fault, jobs: make(map[state.Key]*Job)}
}

// do runs one call under the lock, unless the context or the fault prevents it.
func (m *Memory) do(ctx context.Context, op Operation, call func(now time.Time) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	apply, fault := true, error(nil)
	if m.fault != nil {
		apply, fault = m.fault(op)
	}
	if apply {
		m.mu.Lock()
		err := call(time.Now())
		m.mu.Unlock()
		if err != nil && fault == nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	if fault != nil {
		return fmt.Errorf("%s: %w", op, fault)
	}
	return nil
}

// Enqueue implements Queue.
func (m *Memory) Enqueue(ctx context.Context, requests []Request) error {
	return m.do(ctx, OpEnqueue, func(now time.Time) error {
		valid, refused := Prepare(requests)
		for _, r := range valid {
			m.enqueue(now, r)
		}
		return refused
	})
}

func (m *Memory) enqueue(now time.Time, r Request) {
	due := now.Add(r.Delay)
	job, exists := m.jobs[r.Key]
	if !exists {
		m.lastID++
		m.jobs[r.Key] = &Job{
			ID: m.lastID, Key: r.Key, Targets: r.Targets, Reason: r.Reason, CorrelationID: r.CorrelationID,
			State: Ready, Created: now, Updated: now, NotBefore: due,
		}
		return
	}
	switch {
	case job.State == InProgress && !job.Again:
		job.Again = true
	case job.State == Dead:
		job.State, job.NotBefore = Ready, due
	case job.State == Ready && due.Before(job.NotBefore):
		job.NotBefore = due
	default:
		return
	}
	job.Updated = now
}

// Dequeue implements Queue.
func (m *Memory) Dequeue(ctx context.Context, claim Claim) ([]Job, error) {
	if err := claim.Valid(); err != nil {
		return nil, fmt.Errorf("dequeue: %w", err)
	}
	var claimed []Job
	err := m.do(ctx, OpDequeue, func(now time.Time) error {
		due := m.find(func(j *Job) bool {
			return j.VirtualStorage == claim.VirtualStorage && (j.State == Ready || j.State == Failed) && !j.NotBefore.After(now)
		})
		slices.SortFunc(due, func(a, b *Job) int {
			return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.ID, b.ID))
		})
		for _, job := range due[:min(Bound(claim.Limit), len(due))] {
			job.State, job.Again, job.Updated, job.WaitsFor = InProgress, false, now, ""
			job.Attempt++
			job.Worker, job.ClaimedUntil = CleanText(claim.Worker), now.Add(claim.Lease)
			claimed = append(claimed, job.clone())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return claimed, nil
}

// Heartbeat implements Queue.
func (m *Memory) Heartbeat(ctx context.Context, lease time.Duration, running []Attempt) ([]Attempt, error) {
	if err := LeaseValid(lease); err != nil {
		return nil, fmt.Errorf("heartbeat: %w", err)
	}
	var lost []Attempt
	err := m.do(ctx, OpHeartbeat, func(now time.Time) error {
		for _, a := range running {
			job := m.runs(a)
			if job == nil {
				lost = append(lost, a)
				continue
			}
			job.ClaimedUntil, job.Updated = now.Add(lease), now
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

// Acknowledge implements Queue.
func (m *Memory) Acknowledge(ctx context.Context, attempt Attempt, outcome Outcome) error {
	if err := outcome.Valid(); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return m.do(ctx, OpAcknowledge, func(now time.Time) error {
		job := m.runs(attempt)
		if job == nil {
			return fmt.Errorf("attempt %d of job %d: %w", attempt.Number, attempt.JobID, ErrStaleAttempt)
		}
		again := job.Again
		job.requeue(now, now.Add(outcome.Delay()))
		switch outcome.Kind() {
		case OutcomeCompleted:
			if !again {
				delete(m.jobs, job.Key)
				return nil
			}
			job.State, job.Failures, job.LastError = Ready, 0, ""
		case OutcomePostponed:
			job.State, job.WaitsFor = Ready, outcome.Waits()
		case OutcomeFailed, OutcomeDead:
			job.State, job.LastError, job.WaitsFor = Failed, outcome.Cause(), outcome.Waits()
			job.Failures++
			if outcome.Kind() == OutcomeDead && !again {
				job.State = Dead
			}
		}
		return nil
	})
}

// Reclaim implements Queue.
func (m *Memory) Reclaim(ctx context.Context, worker string, running ...Attempt) (n int, err error) {
	err = m.do(ctx, OpReclaim, func(now time.Time) error {
		worker := CleanText(worker)
		lost := m.find(func(j *Job) bool {
			return j.State == InProgress && !slices.Contains(running, j.Current()) &&
				(j.ClaimedUntil.Before(now) || worker != "" && j.Worker == worker)
		})
		for _, job := range lost[:min(MaxBatch, len(lost))] {
			job.LastError = LostCause
			job.requeue(now, now)
			job.State = Ready
			job.Failures++
			n++
		}
		return nil
	})
	return n, err
}

// Retry implements Queue.
func (m *Memory) Retry(ctx context.Context, filter RetryFilter) (n int, err error) {
	err = m.do(ctx, OpRetry, func(now time.Time) error {
		dead := m.find(func(j *Job) bool {
			return (j.State == Dead || filter.Failed && j.State == Failed) && matches(filter.VirtualStorage, j.VirtualStorage) &&
				matches(filter.RelativePath, j.RelativePath) && !j.Updated.After(now.Add(-filter.DeadFor))
		})
		for _, job := range dead[:min(Bound(filter.Limit), len(dead))] {
			job.State, job.Failures, job.NotBefore, job.Updated, job.WaitsFor = Ready, 0, now, now, ""
			n++
		}
		return nil
	})
	return n, err
}

// find returns the jobs that satisfy a condition by rising id. The caller holds mu.
func (m *Memory) find(condition func(*Job) bool) []*Job {
	var found []*Job
	for _, job := range m.jobs {
		if condition(job) {
			found = append(found, job)
		}
	}
	slices.SortFunc(found, func(a, b *Job) int { return cmp.Compare(a.ID, b.ID) })
	return found
}

// runs returns the job of a running attempt, else nil. The caller holds mu.
func (m *Memory) runs(a Attempt) *Job {
	for _, job := range m.jobs {
		if job.State == InProgress && job.Current() == a {
			return job
		}
	}
	return nil
}

// requeue ends the running attempt of a job, which waits now. The caller holds the queue's mu.
func (j *Job) requeue(now, due time.Time) {
	j.Again, j.ClaimedUntil, j.NotBefore, j.Updated = false, time.Time{}, due, now
}

// clone is a copy that shares nothing with the stored job.
func (j *Job) clone() Job {
	c := *j
	c.Targets = slices.Clone(j.Targets)
	return c
}

// matches says whether a value passes a filter, where the zero filter lets all pass.
func matches[T ~string](filter, value T) bool { return filter == "" || filter == value }
