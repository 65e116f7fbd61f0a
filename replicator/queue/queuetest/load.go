package queuetest

import (
	"context"
	"fmt"
	"time"

	"praefect/fsm/state"
	"praefect/replicator/queue"
)

// refill is how many jobs ClaimAndFinish takes before it puts as many back.
const refill = 100

// Fill enqueues n jobs of a virtual storage that are due at once.
func Fill(ctx context.Context, q queue.Queue, virtualStorage string, n int) error {
	return enqueueNumbers(ctx, q, virtualStorage, "fill", n)
}

// ClaimAndFinish claims one job and completes it, as many times as told, in a queue that holds at least that many due
// jobs or a hundred. It returns how long each round took, and leaves the queue as deep as it was.
func ClaimAndFinish(ctx context.Context, q queue.Queue, virtualStorage string, rounds int) ([]time.Duration, error) {
	took := make([]time.Duration, 0, rounds)
	claim := queue.Claim{VirtualStorage: virtualStorage, Worker: "bench", Limit: 1, Lease: time.Minute}
	owed := 0
	for len(took) < rounds {
		start := time.Now()
		jobs, err := q.Dequeue(ctx, claim)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", len(took), err)
		}
		if len(jobs) != 1 {
			return nil, fmt.Errorf("round %d: %d jobs are due, want 1", len(took), len(jobs))
		}
		if err := q.Acknowledge(ctx, jobs[0].Current(), queue.Complete()); err != nil {
			return nil, fmt.Errorf("round %d: %w", len(took), err)
		}
		took = append(took, time.Since(start))
		if owed++; owed == refill || len(took) == rounds {
			if err := enqueueNumbers(ctx, q, virtualStorage, fmt.Sprintf("refill-%d", jobs[0].ID), owed); err != nil {
				return nil, err
			}
			owed = 0
		}
	}
	return took, nil
}

// InTurns runs ClaimAndFinish on several queues, some rounds at a time on each, so that other load
// on the machine strikes all of them alike and their figures can be compared.
func InTurns(ctx context.Context, queues []queue.Queue, virtualStorage string, rounds int) ([][]time.Duration, error) {
	took := make([][]time.Duration, len(queues))
	for done := 0; done < rounds; done += refill {
		for i, q := range queues {
			turn, err := ClaimAndFinish(ctx, q, virtualStorage, min(refill, rounds-done))
			if err != nil {
				return nil, fmt.Errorf("queue %d: %w", i, err)
			}
			took[i] = append(took[i], turn...)
		}
	}
	return took, nil
}

// enqueueNumbers enqueues n new paths, a batch at a time.
func enqueueNumbers(ctx context.Context, q queue.Queue, virtualStorage, prefix string, n int) error {
	requests := make([]queue.Request, 0, queue.MaxBatch)
	for i := range n {
		path := fmt.Sprintf("@hashed/%s/%07d.git", prefix, i)
		requests = append(requests, queue.Request{Key: state.Key{VirtualStorage: virtualStorage, RelativePath: path}})
		if len(requests) < queue.MaxBatch && i < n-1 {
			continue
		}
		if err := q.Enqueue(ctx, requests); err != nil {
			return fmt.Errorf("enqueue %d jobs: %w", n, err)
		}
		requests = requests[:0]
	}
	return nil
}
