// Package queue owns the contract of the replication queue: the job, its claim, its end and the
// errors of each; and an implementation of it in memory, for tests and simulations. It promises
// that a path has at most one job, that an attempt which lost its claim can finish nothing, and
// that a change enqueued while a job runs is not lost with it. The replicator calls a Queue;
// queuetest.Exercise is the contract in executable form, and every implementation passes it.
package queue

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"praefect/fsm/state"
)

// State is where a stored job stands. A completed job has no state: it is removed.
type State string

// The states of a job. Ready and failed jobs wait until they are due, the failed ones after an attempt that failed; dead
// jobs wait for a change of their repository or for Retry.
const (
	Ready      State = "ready"
	InProgress State = "in_progress"
	Failed     State = "failed"
	Dead       State = "dead"
)

// Job points to a repository that may need repair. It is no order: the worker that runs it finds
// out the needs of that moment.
type Job struct {
	ID int64 // rises with the age of the job; never used twice
	state.Key
	Targets       []string // storages that were behind when the job was made: for display
	Reason        string   // why the job was made: for display
	CorrelationID string   // of the request that made it: for the logs

	State     State
	Attempt   int    // claims so far: the number of the last or running attempt; it never falls
	Failures  int    // attempts that failed or were lost, since the last one that did not
	Again     bool   // enqueued once more while in progress: it gets another attempt
	Worker    string // the worker that runs it, or ran it last
	LastError string // why the last failed attempt failed
	WaitsFor  string // the word for what it waits, as the last attempt found; "" while in progress

	Created      time.Time
	Updated      time.Time
	NotBefore    time.Time // due from then on, on the queue's clock
	ClaimedUntil time.Time // end of the lease while in progress, else zero
}

// Current is the job's last or running attempt.
func (j Job) Current() Attempt { return Attempt{JobID: j.ID, Number: j.Attempt} }

// Attempt is one try at a job: the token that a worker shows to finish it.
type Attempt struct {
	JobID  int64
	Number int
}

// Request asks for a job.
type Request struct {
	state.Key
	Targets       []string
	Reason        string
	CorrelationID string
	Delay         time.Duration // due that long from now
}

// Claim asks for jobs to work on. All fields must be set.
type Claim struct {
	VirtualStorage string
	Worker         string        // the asking worker: for display, and for Reclaim
	Limit          int           // at most that many jobs, and at most MaxBatch
	Lease          time.Duration // the claim holds that long unless a Heartbeat extends it
}

// ListFilter chooses jobs to show. Its zero value is the first MaxBatch jobs.
type ListFilter struct {
	VirtualStorage string // "" is all
	RelativePath   string // "" is all
	State          State  // "" is all
	After          int64  // only jobs with a higher id: the last one of the page before
	Limit          int    // 0, or more than MaxBatch, is MaxBatch
}

// RetryFilter chooses dead jobs to bring back. Its zero value is the first MaxBatch ones.
type RetryFilter struct {
	VirtualStorage string        // "" is all
	RelativePath   string        // "" is all
	DeadFor        time.Duration // only jobs that died at least that long ago
	Failed         bool          // failed jobs, too, although they are due later
	Limit          int           // 0, or more than MaxBatch, is MaxBatch
}

// DropFilter chooses jobs to remove. State must be ready, failed or dead.
type DropFilter struct {
	VirtualStorage string // "" is all
	RelativePath   string // "" is all
	State          State
	Limit          int // 0, or more than MaxBatch, is MaxBatch
}

// Valid tells what is wrong with the filter: a running job is never dropped.
func (f DropFilter) Valid() error {
	switch f.State {
	case Ready, Failed, Dead:
		return nil
	}
	return fmt.Errorf("%w: no state %q of a job that can be dropped", ErrInvalid, f.State)
}

// Depth counts the jobs of a virtual storage in one state.
type Depth struct {
	VirtualStorage string
	State          State
	Count          int
	AtLeast        bool // there may be more: the count stopped at its limit
}

// Compare orders counts by virtual storage, then state.
func (d Depth) Compare(other Depth) int {
	return cmp.Or(cmp.Compare(d.VirtualStorage, other.VirtualStorage), cmp.Compare(d.State, other.State))
}

// MaxBatch bounds the jobs that one call claims, lists or brings back.
const MaxBatch = 1000

// DepthLimit is how far Depth counts when it is not told.
const DepthLimit = 10_000

// Queue is the durable list of repair work. All methods may be called concurrently, from any number of processes.
//
// Every method may be repeated after any error: repeating a call that had taken effect changes nothing that matters. An
// error that matches ErrUnavailable means that the queue cannot be used now; one that also matches ErrOutcomeUnknown
// leaves open whether the call took effect. A call that ends because its context was cancelled returns the context's error.
//
// Times are by the queue's own clock; callers pass durations only.
type Queue interface {
	// Enqueue makes sure that an attempt starts after this call for the key of each request. A key without a job gets
	// one. A waiting job stays, due at the earlier of the two times, unless it is backing off after a failure: then its
	// time stays. A job in progress will run once more. A dead job gets one more attempt, with its failures still counted.
	// Requests that are not Valid are left out and named in an error that matches ErrInvalid; the others are enqueued.
	// Beyond MaxBatch requests it is not atomic.
	Enqueue(ctx context.Context, requests []Request) error

	// Dequeue claims due jobs of one virtual storage, the longest due first. No other worker gets
	// them until the lease ends. Its cost does not grow with the queue. A due job may be passed
	// over for some seconds, never for ever. If the outcome is unknown, jobs that were claimed come
	// back by Reclaim.
	Dequeue(ctx context.Context, claim Claim) ([]Job, error)

	// Heartbeat lets the leases of running attempts end that long from now, and returns the
	// attempts that are not running any more: their workers stop and acknowledge nothing.
	Heartbeat(ctx context.Context, lease time.Duration, running []Attempt) (lost []Attempt, err error)

	// Acknowledge ends a running attempt. It returns ErrStaleAttempt, and changes nothing, if the attempt does not run
	// any more: it was reclaimed or has ended.
	Acknowledge(ctx context.Context, attempt Attempt, outcome Outcome) error

	// Reclaim takes back up to MaxBatch jobs whose lease has ended: they are due at once, and the lost attempt counts as
	// a failure. So it does with all that worker has claimed, if that is not empty: one of which the caller knows that it
	// runs nothing but the running attempts, which are left alone. It returns how many, or fewer when it had to be repeated.
	Reclaim(ctx context.Context, worker string, running ...Attempt) (int, error)

	// Retry makes dead jobs, or failed ones too, ready and due, with no failures counted. It returns how many, or fewer when it had to be
	// repeated.
	Retry(ctx context.Context, filter RetryFilter) (int, error)

	// Drop removes jobs that do not run, the oldest first. It returns how many, or fewer when it had to be repeated. A
	// repository that needs repair gets a new job by Enqueue.
	Drop(ctx context.Context, filter DropFilter) (int, error)

	// List returns jobs by rising id.
	List(ctx context.Context, filter ListFilter) ([]Job, error)

	// Depth counts jobs by virtual storage and state, in that order, without the zeroes. It looks at no more than limit
	// jobs for each count, so that its cost does not grow with the queue; a limit of 0 is DepthLimit.
	Depth(ctx context.Context, limit int) ([]Depth, error)

	// Missing returns the keys that have no job at all, in the order given. A dead job counts as
	// one: it is up to Retry.
	Missing(ctx context.Context, keys []state.Key) ([]state.Key, error)
}
