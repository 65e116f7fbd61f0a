package queuetest

import (
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

func enqueueing() behaviours {
	return behaviours{
		"enqueue stores what the request says": func(h *harness) {
			request := queue.Request{
				Key: key("a.git"), Targets: []string{"gitaly-2", "gitaly, 3"}, Reason: "a write", CorrelationID: "c-1", Delay: long,
			}
			h.must(h.Enqueue(h.Context(), []queue.Request{request}))
			got := h.only()
			want := queue.Job{Key: request.Key, Targets: request.Targets, Reason: "a write", CorrelationID: "c-1", State: queue.Ready}
			ignored := cmpopts.IgnoreFields(queue.Job{}, "ID", "Created", "Updated", "NotBefore")
			h.equal("stored", want, got, ignored)
			if waits := got.NotBefore.Sub(got.Created).Round(time.Second); waits != long {
				h.Errorf("the job waits %v, want %v", waits, long)
			}
		},

		"enqueue keeps one job for a path": func(h *harness) {
			h.enqueue("a.git")
			first := h.only()
			h.enqueue("a.git", "a.git")
			h.equal("a waiting job changed", first, h.only())
		},

		"enqueue tells virtual storages apart": func(h *harness) {
			other := state.Key{VirtualStorage: "other", RelativePath: "a.git"}
			h.must(h.Enqueue(h.Context(), []queue.Request{{Key: key("a.git")}, {Key: other}}))
			if n := len(h.all()); n != 2 {
				h.Errorf("got %d jobs, want 2", n)
			}
			if got := h.next(); got.VirtualStorage != storage {
				h.Errorf("claimed %v from %q", got.Key, storage)
			}
		},

		"enqueue brings a delayed job forward, never back": func(h *harness) {
			h.must(h.Enqueue(h.Context(), []queue.Request{{Key: key("a.git"), Delay: long}}))
			h.noneDue()
			h.enqueue("a.git")
			h.must(h.Enqueue(h.Context(), []queue.Request{{Key: key("a.git"), Delay: long}}))
			h.next()
		},

		"enqueue takes the earliest of equal keys": func(h *harness) {
			h.must(h.Enqueue(h.Context(), []queue.Request{{Key: key("a.git"), Delay: long}, {Key: key("a.git")}}))
			h.next()
		},

		"enqueue does not shorten a back-off": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Fail(long, nil))
			h.enqueue("a.git")
			h.noneDue()
			if got := h.only(); got.State != queue.Failed {
				h.Errorf("state %q, want failed", got.State)
			}
		},

		"enqueue during an attempt asks for another one": func(h *harness) {
			job := h.claim("a.git")
			h.enqueue("a.git")
			h.noneDue()
			if got := h.only(); !got.Again || got.State != queue.InProgress {
				h.Errorf("got %+v, want in progress, again", got)
			}
			h.ack(job.Current(), queue.Complete())
			second := h.next()
			if second.ID != job.ID || second.Attempt != job.Attempt+1 || second.Again {
				h.Errorf("got %+v after %+v, want the next attempt", second, job)
			}
			h.ack(second.Current(), queue.Complete())
			h.none()
		},

		"enqueue gives a dead job one more attempt": func(h *harness) {
			h.ack(h.claim("a.git").Current(), queue.Bury(0, nil))
			h.enqueue("a.git")
			if got := h.next(); got.Failures != 1 || got.Attempt != 2 {
				h.Errorf("got %+v, want its second attempt with one failure counted", got)
			}
		},

		"enqueue leaves out invalid requests and names them": func(h *harness) {
			for name, bad := range map[string]state.Key{
				"empty path":            {VirtualStorage: storage},
				"empty virtual storage": {RelativePath: "a.git"},
				"NUL":                   key("a\x00.git"),
				"no UTF-8":              key("a\xff.git"),
				"too long":              key(strings.Repeat("a", 5000)),
			} {
				err := h.Enqueue(h.Context(), []queue.Request{{Key: bad}, {Key: key("good.git")}})
				if err == nil {
					h.Errorf("%s: accepted", name)
					continue
				}
				h.wantErr(err, queue.ErrInvalid)
			}
			if got := h.next(); got.Key != key("good.git") {
				h.Errorf("got %v, want the valid one", got.Key)
			}
		},

		"enqueue stores any text for display": func(h *harness) {
			ugly := "it's \\ \"quoted\"\n{NULL}, \xff\x00é"
			h.must(h.Enqueue(h.Context(), []queue.Request{{
				Key: key("sp ace/'quo\"te\\é.git"), Reason: ugly, CorrelationID: ugly, Targets: []string{ugly, ""},
			}}))
			got, clean := h.next(), queue.CleanText(ugly)
			if got.Reason != clean || got.CorrelationID != clean || !cmp.Equal(got.Targets, []string{clean, ""}) {
				h.Errorf("got %+v, want %q in each text", got, clean)
			}
		},

		"enqueue takes more than a batch": func(h *harness) {
			requests := make([]queue.Request, 0, queue.MaxBatch+1)
			for i := range cap(requests) {
				requests = append(requests, queue.Request{Key: key(pathNumber(i))})
			}
			h.must(h.Enqueue(h.Context(), requests))
			if n := len(h.all()); n != len(requests) {
				h.Errorf("got %d jobs, want %d", n, len(requests))
			}
		},

		"enqueue of nothing does nothing": func(h *harness) {
			h.must(h.Enqueue(h.Context(), nil))
		},
	}
}
