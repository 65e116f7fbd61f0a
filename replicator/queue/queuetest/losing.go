package queuetest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"praefect/replicator/queue"
)

// lapse claims a path's job under a lease that ends at once, and waits until it was reclaimed.
func (h *harness) lapse(path string) queue.Job {
	h.Helper()
	h.enqueue(path)
	jobs, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: "w", Limit: 1, Lease: time.Millisecond})
	h.must(err)
	if len(jobs) != 1 {
		h.Fatalf("got %d jobs, want one", len(jobs))
	}
	h.await("the lease to end", func() bool {
		n, err := h.Reclaim(h.Context(), "")
		h.must(err)
		return n == 1
	})
	return jobs[0]
}

// wantSame fails if the jobs have changed.
func (h *harness) wantSame(before []queue.Job) {
	h.Helper()
	if diff := cmp.Diff(before, h.all()); diff != "" {
		h.Errorf("something changed (-before +after):\n%s", diff)
	}
}

func losing() behaviours {
	return behaviours{
		"reclaim takes back what nobody works on": func(h *harness) {
			h.lapse("a.git")
			got := h.only()
			if got.State != queue.Ready || got.Failures != 1 || got.LastError != queue.LostCause || got.Attempt != 1 {
				h.Errorf("got %+v, want ready, with a lost attempt counted", got)
			}
			if second := h.next(); second.Attempt != 2 {
				h.Errorf("got %+v, want the second attempt", second)
			}
		},

		"reclaim leaves running attempts alone": func(h *harness) {
			h.claim("a.git")
			before := h.all()
			n, err := h.Reclaim(h.Context(), "")
			h.must(err)
			if n != 0 {
				h.Errorf("reclaimed %d jobs, want none", n)
			}
			h.wantSame(before)
		},

		"reclaim takes back what a worker had that is gone": func(h *harness) {
			h.enqueue("a.git", "b.git")
			for _, worker := range []string{"gone", "alive"} {
				jobs, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: worker, Limit: 1, Lease: long})
				h.must(err)
				if len(jobs) != 1 {
					h.Fatalf("%s got %d jobs, want one", worker, len(jobs))
				}
			}
			n, err := h.Reclaim(h.Context(), "gone")
			h.must(err)
			if n != 1 {
				h.Errorf("reclaimed %d jobs, want one", n)
			}
			for _, job := range h.all() {
				want := queue.Ready
				if job.Worker == "alive" {
					want = queue.InProgress
				}
				if job.State != want {
					h.Errorf("job of %q is %s, want %s", job.Worker, job.State, want)
				}
			}
		},

		"reclaim leaves alone what the worker runs": func(h *harness) {
			h.enqueue("a.git", "b.git", "c.git")
			var jobs []queue.Job
			for _, worker := range []string{"w", "w", "other"} {
				claimed, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: worker, Limit: 1, Lease: long})
				h.must(err)
				jobs = append(jobs, claimed...)
			}
			if len(jobs) != 3 {
				h.Fatalf("claimed %d jobs, want 3", len(jobs))
			}
			former := queue.Attempt{JobID: jobs[1].ID, Number: jobs[1].Attempt - 1}
			n, err := h.Reclaim(h.Context(), "w", jobs[0].Current(), former)
			h.must(err)
			if n != 1 {
				h.Errorf("reclaimed %d jobs, want one", n)
			}
			for _, job := range h.all() {
				if want := job.ID == jobs[1].ID; (job.State == queue.Ready) != want {
					h.Errorf("job %d is %s, and %d was the one that nobody ran", job.ID, job.State, jobs[1].ID)
				}
			}
		},

		"a lost attempt finishes nothing": func(h *harness) {
			lost := h.lapse("a.git")
			h.wantErr(h.Acknowledge(h.Context(), lost.Current(), queue.Complete()), queue.ErrStaleAttempt)
			running := h.next()
			before := h.all()
			for _, outcome := range []queue.Outcome{queue.Complete(), queue.Postpone(0), queue.Fail(0, nil), queue.Bury(0, nil)} {
				h.wantErr(h.Acknowledge(h.Context(), lost.Current(), outcome), queue.ErrStaleAttempt)
			}
			h.wantSame(before)
			h.ack(running.Current(), queue.Complete())
		},

		"a lost attempt keeps its follow-up": func(h *harness) {
			h.enqueue("a.git")
			_, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: "w", Limit: 1, Lease: time.Millisecond})
			h.must(err)
			h.enqueue("a.git")
			h.await("the lease to end", func() bool {
				n, err := h.Reclaim(h.Context(), "")
				h.must(err)
				return n == 1
			})
			h.ack(h.next().Current(), queue.Complete())
			if jobs := h.all(); len(jobs) != 0 {
				h.Errorf("got %+v, want none", jobs)
			}
		},

		"heartbeat extends the lease": func(h *harness) {
			h.enqueue("a.git")
			jobs, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: "w", Limit: 1, Lease: time.Millisecond})
			h.must(err)
			lost, err := h.Heartbeat(h.Context(), long, []queue.Attempt{jobs[0].Current()})
			h.must(err)
			if len(lost) != 0 {
				h.Errorf("lost %+v, want none", lost)
			}
			if got := h.only(); !got.ClaimedUntil.After(got.Created.Add(long / 2)) {
				h.Errorf("the lease ends at %v, want it an hour after %v", got.ClaimedUntil, got.Updated)
			}
			n, err := h.Reclaim(h.Context(), "")
			h.must(err)
			if n != 0 {
				h.Errorf("reclaimed %d, want none", n)
			}
		},

		"heartbeat tells which attempts are lost": func(h *harness) {
			lost := h.lapse("a.git")
			ended := h.claimOther(lost, "b.git")
			h.ack(ended.Current(), queue.Complete())
			running := h.claimOther(lost, "c.git")
			unknown := queue.Attempt{JobID: running.ID + 1000, Number: 1}
			got, err := h.Heartbeat(h.Context(), long, []queue.Attempt{running.Current(), lost.Current(), ended.Current(), unknown})
			h.must(err)
			if diff := cmp.Diff([]queue.Attempt{lost.Current(), ended.Current(), unknown}, got); diff != "" {
				h.Errorf("-want +got:\n%s", diff)
			}
		},

		"heartbeat needs a lease": func(h *harness) {
			_, err := h.Heartbeat(h.Context(), 0, []queue.Attempt{h.claim("a.git").Current()})
			h.wantErr(err, queue.ErrInvalid)
		},

		"heartbeat of nothing does nothing": func(h *harness) {
			lost, err := h.Heartbeat(h.Context(), long, nil)
			h.must(err)
			if len(lost) != 0 {
				h.Errorf("lost %+v of nothing", lost)
			}
		},
	}
}

// claimOther claims the job of a path while another one may be due, which is put off for the length of the test.
func (h *harness) claimOther(than queue.Job, path string) queue.Job {
	h.Helper()
	h.enqueue(path)
	var found queue.Job
	for _, job := range h.dequeue(10) {
		if job.ID == than.ID {
			h.ack(job.Current(), queue.Postpone(long))
			continue
		}
		found = job
	}
	if found.RelativePath != path {
		h.Fatalf("claimed %+v, want %q", found, path)
	}
	return found
}
