package queuetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

func claiming() behaviours {
	return behaviours{
		"dequeue claims the longest due first": func(h *harness) {
			h.enqueue("c.git")
			h.enqueue("a.git")
			h.enqueue("b.git")
			got := append(h.dequeue(2), h.dequeue(2)...)
			h.equal("claimed", []string{"c.git", "a.git", "b.git"}, pathsOf(got))
		},

		"dequeue marks the job": func(h *harness) {
			before := h.claim("a.git")
			want := before
			want.State, want.Attempt, want.Worker = queue.InProgress, 1, "w"
			h.equal("the stored job is not the claimed one", want, h.only())
			if lease := before.ClaimedUntil.Sub(before.Updated).Round(time.Second); lease != long {
				h.Errorf("the lease is %v, want %v", lease, long)
			}
		},

		"dequeue waits until a job is due": func(h *harness) {
			h.must(h.Enqueue(h.Context(), []queue.Request{{Key: key("a.git"), Delay: 50 * time.Millisecond}}))
			var got []queue.Job
			h.await("the job to be due", func() bool {
				got = h.dequeue(1)
				return len(got) == 1
			})
			if got[0].Updated.Before(got[0].NotBefore) {
				h.Errorf("%+v was claimed before it was due", got[0])
			}
		},

		"dequeue gives each job to one worker": func(h *harness) {
			const jobs, workers = 200, 8
			paths := make([]string, jobs)
			for i := range paths {
				paths[i] = pathNumber(i)
			}
			h.enqueue(paths...)
			claimed := make(chan string, 2*jobs)
			work := func(worker string) error {
				for {
					batch, err := h.Dequeue(h.Context(), queue.Claim{VirtualStorage: storage, Worker: worker, Limit: 3, Lease: long})
					if err != nil {
						return err
					}
					for _, job := range batch {
						claimed <- job.RelativePath
						if err := h.Acknowledge(h.Context(), job.Current(), queue.Complete()); err != nil {
							return err
						}
					}
					if len(batch) > 0 {
						continue
					}
					left, err := h.List(h.Context(), queue.ListFilter{Limit: 1})
					if err != nil || len(left) == 0 {
						return err
					}
				}
			}
			var all sync.WaitGroup
			for i := range workers {
				all.Go(func() {
					if err := work(fmt.Sprintf("w%d", i)); err != nil {
						h.Error(err)
					}
				})
			}
			all.Wait()
			close(claimed)
			var got []string
			for path := range claimed {
				got = append(got, path)
			}
			slices.Sort(got)
			h.equal("claimed", paths, got)
		},

		"dequeue refuses a claim that lacks something": func(h *harness) {
			h.enqueue("a.git")
			whole := queue.Claim{VirtualStorage: storage, Worker: "w", Limit: 1, Lease: long}
			for name, invalidate := range map[string]func(c *queue.Claim){
				"virtual storage": func(c *queue.Claim) { c.VirtualStorage = "" },
				"text":            func(c *queue.Claim) { c.VirtualStorage = "a\x00" },
				"worker":          func(c *queue.Claim) { c.Worker = "" },
				"limit":           func(c *queue.Claim) { c.Limit = 0 },
				"lease":           func(c *queue.Claim) { c.Lease = 0 },
			} {
				claim := whole
				invalidate(&claim)
				if _, err := h.Dequeue(h.Context(), claim); err == nil {
					h.Errorf("accepted without %s", name)
				} else {
					h.wantErr(err, queue.ErrInvalid)
				}
			}
		},

		"every call heeds its context": func(h *harness) {
			job := h.claim("a.git")
			before := h.all()
			ctx, cancel := context.WithCancel(h.Context())
			cancel()
			_, dequeue := h.Dequeue(ctx, queue.Claim{VirtualStorage: storage, Worker: "w", Limit: 1, Lease: long})
			_, heartbeat := h.Heartbeat(ctx, long, []queue.Attempt{job.Current()})
			_, reclaim := h.Reclaim(ctx, "")
			_, drop := h.Drop(ctx, queue.DropFilter{State: queue.Ready})
			_, retry := h.Retry(ctx, queue.RetryFilter{})
			_, list := h.List(ctx, queue.ListFilter{})
			_, depth := h.Depth(ctx, 0)
			_, missing := h.Missing(ctx, []state.Key{job.Key})
			for name, err := range map[string]error{
				"enqueue":   h.Enqueue(ctx, []queue.Request{{Key: key("b.git")}}),
				"ack":       h.Acknowledge(ctx, job.Current(), queue.Complete()),
				"dequeue":   dequeue,
				"heartbeat": heartbeat,
				"reclaim":   reclaim,
				"retry":     retry,
				"drop":      drop,
				"list":      list,
				"depth":     depth,
				"missing":   missing,
			} {
				if err == nil {
					h.Errorf("%s went on without its context", name)
					continue
				}
				h.wantErr(err, context.Canceled)
			}
			h.wantSame(before)
		},
	}
}

// pathNumber is a path whose order as text is that of its number.
func pathNumber(i int) string { return fmt.Sprintf("@hashed/%07d.git", i) }
