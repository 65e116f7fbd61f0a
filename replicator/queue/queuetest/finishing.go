package queuetest

import (
	"context"
	"errors"
	"strings"
	"time"

	"praefect/replicator/queue"
)

var errRepair = errors.New("repair refused")

// counted is how many jobs a call with a filter concerns.
type counted[F any] struct {
	filter F
	want   int
}

// counts makes one call after the other.
func counts[F any](h *harness, call func(context.Context, F) (int, error), steps []counted[F]) {
	h.Helper()
	for _, step := range steps {
		n, err := call(h.Context(), step.filter)
		h.must(err)
		if n != step.want {
			h.Errorf("%+v: got %d, want %d", step.filter, n, step.want)
		}
	}
}

func finishing() behaviours {
	return behaviours{
		"complete removes the job": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Complete())
			h.none()
		},

		"a path gets a new id after its job completed": func(h *harness) {
			first := h.claim("a.git")
			h.ack(first.Current(), queue.Complete())
			if second := h.claim("a.git"); second.ID <= first.ID || second.Attempt != 1 {
				h.Errorf("got %+v after %+v, want a new job", second, first)
			}
		},

		"fail backs off and counts": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Fail(long, errRepair))
			h.noneDue()
			got := h.only()
			if got.State != queue.Failed || got.Failures != 1 || got.LastError != errRepair.Error() {
				h.Errorf("got %+v, want failed, once, with the cause", got)
			}
			if waits := got.NotBefore.Sub(got.Updated).Round(time.Second); waits != long {
				h.Errorf("the job waits %v, want %v", waits, long)
			}
		},

		"fail without delay is due at once": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Fail(0, errRepair))
			second := h.next()
			h.ack(second.Current(), queue.Fail(0, errRepair))
			if third := h.next(); third.Attempt != 3 || third.Failures != 2 {
				h.Errorf("got %+v, want the third attempt after two failures", third)
			}
		},

		"success forgets the failures before": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Fail(0, errRepair))
			job := h.next()
			h.enqueue("a.git")
			h.ack(job.Current(), queue.Complete())
			if got := h.next(); got.Failures != 0 || got.LastError != "" || got.Attempt != 3 {
				h.Errorf("got %+v, want no failure and the third attempt", got)
			}
		},

		"postpone counts no failure": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Fail(0, errRepair))
			h.ack(h.next().Current(), queue.Postpone(0))
			job := h.next()
			if job.Failures != 1 || job.Attempt != 3 {
				h.Errorf("got %+v, want the third attempt with one failure", job)
			}
			h.ack(job.Current(), queue.Postpone(long))
			h.noneDue()
			if got := h.only(); got.State != queue.Ready {
				h.Errorf("state %q, want ready", got.State)
			}
		},

		"what a job waits for is told until it runs": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Postpone(0).WaitingFor("a bound"))
			if got := h.only().WaitsFor; got != "a bound" {
				h.Errorf("postponed: waits for %q", got)
			}
			job := h.next()
			if job.WaitsFor != "" {
				h.Errorf("running: waits for %q", job.WaitsFor)
			}
			h.ack(job.Current(), queue.Fail(0, errRepair).WaitingFor("the pool"))
			if got := h.only().WaitsFor; got != "the pool" {
				h.Errorf("failed: waits for %q", got)
			}
			h.ack(h.next().Current(), queue.Bury(0, errRepair).WaitingFor("failed"))
			if n, err := h.Retry(h.Context(), queue.RetryFilter{}); n != 1 || err != nil || h.only().WaitsFor != "" {
				h.Errorf("brought back: %d, %v, %+v", n, err, h.only())
			}
		},

		"postpone and fail keep a follow-up": func(h *harness) {
			for _, outcome := range []queue.Outcome{queue.Postpone(0), queue.Fail(0, errRepair), queue.Bury(0, errRepair)} {
				job := h.claim("a.git")
				h.enqueue("a.git")
				h.ack(job.Current(), outcome)
				last := h.next()
				if last.Again {
					h.Errorf("got %+v, want the follow-up used up", last)
				}
				h.ack(last.Current(), queue.Complete())
			}
		},

		"bury keeps the job in sight": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Bury(0, errRepair))
			h.noneDue()
			got := h.only()
			if got.State != queue.Dead || got.Failures != 1 || got.LastError != errRepair.Error() {
				h.Errorf("got %+v, want dead, with the cause", got)
			}
		},

		"drop removes what does not run": func(h *harness) {
			for _, path := range []string{"a.git", "b.git", "c.git"} {
				h.ack(h.claim(path).Current(), queue.Bury(0, errRepair))
			}
			h.ack(h.claim("d.git").Current(), queue.Fail(long, errRepair))
			running := h.claim("e.git")
			h.enqueue("f.git")
			counts(h, h.Drop, []counted[queue.DropFilter]{
				{queue.DropFilter{VirtualStorage: "other", State: queue.Dead}, 0},
				{queue.DropFilter{VirtualStorage: storage, RelativePath: "b.git", State: queue.Dead}, 1},
				{queue.DropFilter{VirtualStorage: storage, RelativePath: "b.git", State: queue.Dead}, 0},
				{queue.DropFilter{RelativePath: "d.git", State: queue.Dead}, 0},
				{queue.DropFilter{State: queue.Dead, Limit: 1}, 1},
				{queue.DropFilter{State: queue.Dead}, 1},
				{queue.DropFilter{State: queue.Failed}, 1},
				{queue.DropFilter{RelativePath: "e.git", State: queue.Ready}, 0},
				{queue.DropFilter{State: queue.Ready}, 1},
			})
			if _, err := h.Drop(h.Context(), queue.DropFilter{State: queue.InProgress}); err == nil {
				h.Errorf("a running job was dropped")
			}
			h.ack(running.Current(), queue.Complete())
		},

		"a cause is stored whatever it holds": func(h *harness) {
			cause := errors.New("fatal: \xff\x00 " + strings.Repeat("é", 5000))
			h.ack(h.claim("a.git").Current(), queue.Fail(0, cause))
			if got := h.only().LastError; got != queue.CleanText(cause.Error()) || len(got) > 3000 {
				h.Errorf("got %d bytes of %.20q, want them clean and bounded", len(got), got)
			}
		},

		"acknowledge needs an outcome": func(h *harness) {
			job := h.claim("a.git")
			h.wantErr(h.Acknowledge(h.Context(), job.Current(), queue.Outcome{}), queue.ErrInvalid)
			h.ack(job.Current(), queue.Complete())
		},

		"an attempt ends once": func(h *harness) {
			for _, outcome := range []queue.Outcome{
				queue.Fail(0, errRepair), queue.Postpone(0), queue.Bury(0, errRepair), queue.Complete(),
			} {
				job := h.claim("a.git")
				h.ack(job.Current(), outcome)
				before := h.all()
				for _, late := range []queue.Outcome{queue.Complete(), queue.Postpone(0), queue.Fail(0, errRepair), queue.Bury(0, errRepair)} {
					h.wantErr(h.Acknowledge(h.Context(), job.Current(), late), queue.ErrStaleAttempt)
				}
				h.wantSame(before)
			}
		},

		"only the running attempt ends": func(h *harness) {
			job := h.claim("a.git")
			before := h.all()
			for _, wrong := range []queue.Attempt{
				{JobID: job.ID, Number: job.Attempt - 1},
				{JobID: job.ID, Number: job.Attempt + 1},
				{JobID: job.ID + 1000, Number: job.Attempt},
				{},
			} {
				h.wantErr(h.Acknowledge(h.Context(), wrong, queue.Complete()), queue.ErrStaleAttempt)
			}
			h.wantSame(before)
		},

		"retry brings dead jobs back": func(h *harness) {
			for _, path := range []string{"a.git", "b.git", "c.git"} {
				h.ack(h.claim(path).Current(), queue.Bury(0, errRepair))
			}
			h.ack(h.claim("d.git").Current(), queue.Fail(long, errRepair))
			counts(h, h.Retry, []counted[queue.RetryFilter]{
				{queue.RetryFilter{VirtualStorage: "other"}, 0},
				{queue.RetryFilter{DeadFor: long}, 0},
				{queue.RetryFilter{VirtualStorage: storage, RelativePath: "b.git"}, 1},
				{queue.RetryFilter{VirtualStorage: storage, RelativePath: "b.git"}, 0},
				{queue.RetryFilter{Limit: 1}, 1},
				{queue.RetryFilter{}, 1},
				{queue.RetryFilter{}, 0},
				{queue.RetryFilter{Failed: true, DeadFor: long}, 0},
				{queue.RetryFilter{Failed: true}, 1},
				{queue.RetryFilter{Failed: true}, 0},
			})
			jobs := h.dequeue(10)
			if len(jobs) != 4 {
				h.Fatalf("got %d due jobs, want the three that were dead and the one that had failed", len(jobs))
			}
			for _, job := range jobs {
				if job.Failures != 0 || job.Attempt != 2 {
					h.Errorf("got %+v, want the second attempt and no failures", job)
				}
			}
		},
	}
}
