package queuetest

import (
	"time"

	"praefect/replicator/queue"
)

// lapse claims a path's job under a lease that ends at once, and waits until it was reclaimed.
func (h *harness) lapse(path string) queue.Job {
	h.Helper()
	job := h.claimShortly(path)
	h.awaitLapse()
	return job
}

// claimShortly claims a path's job under a lease that ends at once.
func (h *harness) claimShortly(path string) queue.Job {
	h.Helper()
	h.enqueue(path)
	jobs := h.dequeueAs("w", 1, time.Millisecond)
	if len(jobs) != 1 {
		h.Fatalf("got %d jobs, want one", len(jobs))
	}
	return jobs[0]
}

// awaitLapse waits until one job was reclaimed.
func (h *harness) awaitLapse() {
	h.Helper()
	h.await("the lease to end", func() bool {
		n, err := h.Reclaim(h.Context(), "")
		h.must(err)
		return n == 1
	})
}

// reclaim takes back what a worker had but for some attempts, and fails if it is not as much as wanted.
func (h *harness) reclaim(want int, worker string, running ...queue.Attempt) {
	h.Helper()
	n, err := h.Reclaim(h.Context(), worker, running...)
	h.must(err)
	if n != want {
		h.Errorf("reclaimed %d jobs, want %d", n, want)
	}
}

// wantSame fails if the jobs have changed.
func (h *harness) wantSame(before []queue.Job) {
	h.Helper()
	h.equal("something changed", before, h.all())
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
			h.reclaim(0, "")
			h.wantSame(before)
		},

		"reclaim takes back what a worker had that is gone": func(h *harness) {
			h.enqueue("a.git", "b.git")
			for _, worker := range []string{"gone", "alive"} {
				if jobs := h.dequeueAs(worker, 1, long); len(jobs) != 1 {
					h.Fatalf("%s got %d jobs, want one", worker, len(jobs))
				}
			}
			h.reclaim(1, "gone")
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
				jobs = append(jobs, h.dequeueAs(worker, 1, long)...)
			}
			if len(jobs) != 3 {
				h.Fatalf("claimed %d jobs, want 3", len(jobs))
			}
			former := queue.Attempt{JobID: jobs[1].ID, Number: jobs[1].Attempt - 1}
			h.reclaim(1, "w", jobs[0].Current(), former)
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
			h.claimShortly("a.git")
			h.enqueue("a.git")
			h.awaitLapse()
			h.ack(h.next().Current(), queue.Complete())
			h.none()
		},

		"heartbeat extends the lease": func(h *harness) {
			job := h.claimShortly("a.git")
			lost, err := h.Heartbeat(h.Context(), long, []queue.Attempt{job.Current()})
			h.must(err)
			if len(lost) != 0 {
				h.Errorf("lost %+v, want none", lost)
			}
			if got := h.only(); !got.ClaimedUntil.After(got.Created.Add(long / 2)) {
				h.Errorf("the lease ends at %v, want it an hour after %v", got.ClaimedUntil, got.Updated)
			}
			h.reclaim(0, "")
		},

		"heartbeat tells which attempts are lost": func(h *harness) {
			lost := h.lapse("a.git")
			ended := h.claimOther(lost, "b.git")
			h.ack(ended.Current(), queue.Complete())
			running := h.claimOther(lost, "c.git")
			unknown := queue.Attempt{JobID: running.ID + 1000, Number: 1}
			got, err := h.Heartbeat(h.Context(), long, []queue.Attempt{running.Current(), lost.Current(), ended.Current(), unknown})
			h.must(err)
			h.equal("lost", []queue.Attempt{lost.Current(), ended.Current(), unknown}, got)
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
