package queuetest

import (
	"fmt"

	"github.com/google/go-cmp/cmp/cmpopts"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// populate makes five jobs: ready, in progress, failed, dead, and a ready one of another virtual storage.
func (h *harness) populate() {
	h.Helper()
	h.ack(h.claim("dead.git").Current(), queue.Bury(0, nil))
	h.ack(h.claim("failed.git").Current(), queue.Fail(long, nil))
	h.claim("running.git")
	h.enqueue("ready.git")
	h.must(h.Enqueue(h.Context(), []queue.Request{{Key: state.Key{VirtualStorage: "other", RelativePath: "ready.git"}}}))
}

func viewing() behaviours {
	return behaviours{
		"list filters": func(h *harness) {
			h.populate()
			for _, row := range []struct {
				filter queue.ListFilter
				want   []string
			}{
				{queue.ListFilter{}, []string{"dead.git", "failed.git", "running.git", "ready.git", "ready.git"}},
				{queue.ListFilter{Limit: 2}, []string{"dead.git", "failed.git"}},
				{queue.ListFilter{VirtualStorage: "other"}, []string{"ready.git"}},
				{queue.ListFilter{VirtualStorage: "none"}, []string{}},
				{queue.ListFilter{RelativePath: "ready.git"}, []string{"ready.git", "ready.git"}},
				{queue.ListFilter{RelativePath: "ready.git", VirtualStorage: "other"}, []string{"ready.git"}},
				{queue.ListFilter{RelativePath: "ready.git", Limit: 1}, []string{"ready.git"}},
				{queue.ListFilter{RelativePath: "dead.git", State: queue.Dead}, []string{"dead.git"}},
				{queue.ListFilter{RelativePath: "dead.git", State: queue.Ready}, []string{}},
				{queue.ListFilter{RelativePath: "\xff\x00"}, []string{}},
				{queue.ListFilter{State: queue.Dead}, []string{"dead.git"}},
				{queue.ListFilter{State: queue.Failed, VirtualStorage: storage}, []string{"failed.git"}},
				{queue.ListFilter{State: queue.Failed, VirtualStorage: "other"}, []string{}},
				{queue.ListFilter{State: queue.InProgress}, []string{"running.git"}},
				{queue.ListFilter{State: queue.Ready}, []string{"ready.git", "ready.git"}},
				{queue.ListFilter{State: queue.Ready, VirtualStorage: storage}, []string{"ready.git"}},
			} {
				got, err := h.List(h.Context(), row.filter)
				h.must(err)
				h.equal(fmt.Sprintf("%+v", row.filter), row.want, pathsOf(got))
			}
		},

		"list goes page by page": func(h *harness) {
			const n = 7
			var paths []string
			for i := range n {
				paths = append(paths, pathNumber(i))
			}
			h.enqueue(paths...)
			h.enqueue("last.git")
			for _, job := range h.dequeue(n) {
				h.ack(job.Current(), queue.Bury(0, nil))
			}
			var got []string
			filter := queue.ListFilter{State: queue.Dead, Limit: 3}
			for {
				page, err := h.List(h.Context(), filter)
				h.must(err)
				if len(page) == 0 {
					break
				}
				got = append(got, pathsOf(page)...)
				filter.After = page[len(page)-1].ID
			}
			h.equal("listed", paths, got)
		},

		"depth counts each state": func(h *harness) {
			h.populate()
			got, err := h.Depth(h.Context(), 0)
			h.must(err)
			want := []queue.Depth{
				{VirtualStorage: storage, State: queue.Dead, Count: 1},
				{VirtualStorage: storage, State: queue.Failed, Count: 1},
				{VirtualStorage: storage, State: queue.InProgress, Count: 1},
				{VirtualStorage: storage, State: queue.Ready, Count: 1},
				{VirtualStorage: "other", State: queue.Ready, Count: 1},
			}
			h.equal("depth", want, got)
		},

		"depth stops counting": func(h *harness) {
			for i := range 8 {
				h.enqueue(fmt.Sprintf("ready-%d.git", i))
			}
			for _, job := range h.dequeue(2) {
				h.ack(job.Current(), queue.Bury(0, nil))
			}
			h.dequeue(3)
			got, err := h.Depth(h.Context(), 2)
			h.must(err)
			want := []queue.Depth{
				{VirtualStorage: storage, State: queue.Dead, Count: 2},
				{VirtualStorage: storage, State: queue.InProgress, Count: 2, AtLeast: true},
				{VirtualStorage: storage, State: queue.Ready, Count: 2, AtLeast: true},
			}
			h.equal("depth", want, got)
		},

		"missing tells which keys have no job": func(h *harness) {
			h.populate()
			absent, other := key("absent.git"), state.Key{VirtualStorage: "other", RelativePath: "dead.git"}
			bad := key("a\x00.git")
			got, err := h.Missing(h.Context(), []state.Key{
				other, key("dead.git"), key("failed.git"), absent, bad, key("running.git"), key("ready.git"),
			})
			h.must(err)
			h.equal("missing", []state.Key{other, absent, bad}, got)
		},

		"missing takes more than a batch": func(h *harness) {
			h.enqueue(pathNumber(queue.MaxBatch + 5))
			var keys []state.Key
			for i := range 2*queue.MaxBatch + 1 {
				keys = append(keys, key(pathNumber(i)))
			}
			got, err := h.Missing(h.Context(), keys)
			h.must(err)
			want := append(append([]state.Key(nil), keys[:queue.MaxBatch+5]...), keys[queue.MaxBatch+6:]...)
			h.equal("missing", want, got, cmpopts.EquateEmpty())
		},
	}
}
