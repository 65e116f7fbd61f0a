// Package queuetest owns the contract suite of package queue, and a load that measures an implementation.
// It promises that an implementation which passes Exercise can stand in for any other.
// The tests of implementations call it, and benchmarks.
package queuetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

const (
	storage = "default" // the virtual storage of most tests
	long    = time.Hour // longer than any test runs
)

// harness is one queue under test.
type harness struct {
	*testing.T
	queue.Queue
}

// behaviours are the tests of one group by name.
type behaviours map[string]func(h *harness)

// Exercise runs the contract of queue.Queue. Each call of newQueue returns an empty queue of its
// own.
func Exercise(t *testing.T, newQueue func(t *testing.T) queue.Queue) {
	for _, group := range []behaviours{enqueueing(), claiming(), finishing(), losing(), viewing()} {
		for name, behaviour := range group {
			t.Run(name, func(t *testing.T) {
				h := &harness{T: t, Queue: newQueue(t)}
				behaviour(h)
				h.check()
			})
		}
	}
}

// check is the whole-state check that closes each test: the contract of every reachable queue.
func (h *harness) check() {
	h.Helper()
	if h.Failed() {
		return
	}
	paths := make(map[state.Key]bool)
	counts := make(map[queue.Depth]int)
	var last int64
	for _, job := range h.all() {
		if paths[job.Key] {
			h.Errorf("two jobs for %v", job.Key)
		}
		paths[job.Key] = true
		counts[queue.Depth{VirtualStorage: job.VirtualStorage, State: job.State}]++
		if job.ID <= last {
			h.Errorf("id %d after %d", job.ID, last)
		}
		last = job.ID
		running := job.State == queue.InProgress
		if running == job.ClaimedUntil.IsZero() || (job.Again && !running) {
			h.Errorf("job %+v is half claimed", job)
		}
		if job.Attempt < job.Failures && job.State != queue.Ready {
			h.Errorf("job %+v failed more often than it ran", job)
		}
		if job.Created.IsZero() || job.Updated.Before(job.Created) {
			h.Errorf("job %+v changed before it was made", job)
		}
	}
	var want []queue.Depth
	for depth, n := range counts {
		depth.Count = n
		want = append(want, depth)
	}
	slices.SortFunc(want, queue.Depth.Compare)
	got, err := h.Depth(h.Context(), 0)
	h.must(err)
	h.equal("depth and the jobs", want, got, cmpopts.EquateEmpty())
}

// equal fails if two values differ.
func (h *harness) equal(what string, want, got any, options ...cmp.Option) {
	h.Helper()
	if diff := cmp.Diff(want, got, options...); diff != "" {
		h.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// all lists every job, page by page.
func (h *harness) all() []queue.Job {
	h.Helper()
	var jobs []queue.Job
	for {
		var after int64
		if len(jobs) > 0 {
			after = jobs[len(jobs)-1].ID
		}
		page, err := h.List(h.Context(), queue.ListFilter{After: after})
		h.must(err)
		if len(page) == 0 {
			return jobs
		}
		jobs = append(jobs, page...)
	}
}

// only returns the one job of the queue.
func (h *harness) only() queue.Job {
	h.Helper()
	jobs := h.all()
	if len(jobs) != 1 {
		h.Fatalf("got %d jobs, want one: %+v", len(jobs), jobs)
	}
	return jobs[0]
}

// none fails if the queue has a job.
func (h *harness) none() {
	h.Helper()
	if jobs := h.all(); len(jobs) != 0 {
		h.Errorf("got %+v, want none", jobs)
	}
}

func key(path string) state.Key { return state.Key{VirtualStorage: storage, RelativePath: path} }

// enqueue asks for a job that is due at once for each path.
func (h *harness) enqueue(paths ...string) {
	h.Helper()
	requests := make([]queue.Request, len(paths))
	for i, path := range paths {
		requests[i] = queue.Request{Key: key(path)}
	}
	h.must(h.Enqueue(h.Context(), requests))
}

// dequeue claims up to n due jobs for an hour.
func (h *harness) dequeue(n int) []queue.Job {
	h.Helper()
	return h.dequeueAs("w", n, long)
}

// dequeueAs claims up to n due jobs for a worker.
func (h *harness) dequeueAs(worker string, n int, lease time.Duration) []queue.Job {
	h.Helper()
	jobs, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: worker, Limit: n, Lease: lease})
	h.must(err)
	return jobs
}

// claim enqueues a path and claims its job: the usual start of a test.
func (h *harness) claim(path string) queue.Job {
	h.Helper()
	h.enqueue(path)
	return h.next()
}

// next claims the one job that is due.
func (h *harness) next() queue.Job {
	h.Helper()
	jobs := h.dequeue(10)
	if len(jobs) != 1 {
		h.Fatalf("got %d due jobs, want one: %+v", len(jobs), jobs)
	}
	return jobs[0]
}

// noneDue fails if a job is due.
func (h *harness) noneDue() {
	h.Helper()
	if jobs := h.dequeue(10); len(jobs) > 0 {
		h.Fatalf("got %+v, want no due job", jobs)
	}
}

func (h *harness) ack(attempt queue.Attempt, outcome queue.Outcome) {
	h.Helper()
	h.must(h.Acknowledge(h.Context(), attempt, outcome))
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) wantErr(err, want error) {
	h.Helper()
	if !errors.Is(err, want) {
		h.Fatalf("got error %v, want %v", err, want)
	}
}

// await repeats a step until it says that it is done.
func (h *harness) await(what string, step func() (done bool)) {
	h.Helper()
	limit, stop := context.WithTimeout(h.Context(), time.Minute)
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !step() {
		select {
		case <-limit.Done():
			h.Fatalf("waited a minute for %s", what)
		case <-tick.C:
		}
	}
}

// pathsOf names jobs by their paths.
func pathsOf(jobs []queue.Job) []string {
	paths := make([]string, len(jobs))
	for i, job := range jobs {
		paths[i] = job.RelativePath
	}
	return paths
}
