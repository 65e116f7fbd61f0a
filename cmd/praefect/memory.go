package main

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// collectEvery is how long garbage may lie about in a process that makes little of it.
	collectEvery = 15 * time.Second
	// collectFrom is how much of it there must be.
	collectFrom = 64 << 20
)

// collectGarbage lets the memory of a burst, such as many clients that read slowly, go back to
// the host soon after. By itself the runtime waits until as much was allocated again, or for two
// minutes; meanwhile the instance looks as large as in the burst, and the next one comes on
// top of it.
func collectGarbage(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	before := readHeap()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := readHeap()
		if now.cycles == before.cycles && now.objects >= collectFrom {
			runtime.GC()
			now = readHeap()
		}
		before = now
	}
}

// heap is how large the heap is, with its garbage, and how often garbage was collected.
type heap struct{ objects, cycles uint64 }

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	return heap{objects: samples[0].Value.Uint64(), cycles: samples[1].Value.Uint64()}
}
