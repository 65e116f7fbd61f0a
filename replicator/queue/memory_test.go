package queue_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
	"praefect/replicator/queue/queuetest"
)

func TestMemory_contract(t *testing.T) {
	queuetest.Exercise(t, func(*testing.T) queue.Queue { return queue.NewMemory(nil) })
}

func TestMemory_faults(t *testing.T) {
	lost := errors.Join(queue.ErrUnavailable, queue.ErrOutcomeUnknown)
	request := []queue.Request{{Key: state.Key{VirtualStorage: "default", RelativePath: "a.git"}}}
	for name, row := range map[string]struct {
		apply bool
		err   error
		want  int
	}{
		"no fault":    {true, nil, 1},
		"failed":      {false, queue.ErrUnavailable, 0},
		"answer lost": {true, lost, 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := queue.NewMemory(func(op queue.Operation) (bool, error) {
				if op == queue.OpEnqueue {
					return row.apply, row.err
				}
				return true, nil
			})
			if err := m.Enqueue(t.Context(), request); !errors.Is(err, row.err) {
				t.Errorf("got error %v, want %v", err, row.err)
			}
			jobs, err := m.List(t.Context(), queue.ListFilter{})
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) != row.want {
				t.Errorf("got %d jobs, want %d", len(jobs), row.want)
			}
		})
	}
}

func TestMemory_keepsTheClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := queue.NewMemory(nil)
		claim := queue.Claim{VirtualStorage: "default", Worker: "w", Limit: 1, Lease: time.Minute}
		key := state.Key{VirtualStorage: "default", RelativePath: "a.git"}
		if err := m.Enqueue(t.Context(), []queue.Request{{Key: key, Delay: time.Hour}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		jobs, err := m.Dequeue(t.Context(), claim)
		if err != nil || len(jobs) != 1 {
			t.Fatalf("got %v, %v, want the job due after an hour", jobs, err)
		}
		time.Sleep(time.Minute)
		if n, err := m.Reclaim(t.Context(), ""); n != 0 || err != nil {
			t.Errorf("reclaimed %d, %v at the end of the lease, want none before it is over", n, err)
		}
		time.Sleep(time.Nanosecond)
		if n, err := m.Reclaim(t.Context(), ""); n != 1 || err != nil {
			t.Errorf("reclaimed %d, %v, want one", n, err)
		}
	})
}

func TestInTurns_keepsTheDepth(t *testing.T) {
	const waiting, rounds = 2500, 250
	m := queue.NewMemory(nil)
	if err := queuetest.Fill(t.Context(), m, "default", waiting); err != nil {
		t.Fatal(err)
	}
	took, err := queuetest.InTurns(t.Context(), []queue.Queue{m, m}, "default", rounds)
	if err != nil {
		t.Fatal(err)
	}
	depth, err := m.Depth(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(took[0]) != rounds || len(took[1]) != rounds || len(depth) != 1 || depth[0].Count != waiting {
		t.Errorf("got %d and %d rounds, and depth %+v, want %d and %d", len(took[0]), len(took[1]), depth, rounds, waiting)
	}
}
