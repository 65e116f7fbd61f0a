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
	// reserveSize is how much garbage may gather before the first collection, whatever the size of the heap.
	reserveSize = 32 << 20
)

// collectGarbage makes collections of garbage rarer, and timely.
//
// Rarer: the runtime collects when the heap has doubled. The heap of an instance is small, and each call
// leaves 18 KiB of garbage behind, so that an instance under load would collect dozens of times a
// second. The reserve counts as part of the heap. It is never written to, so that the host gives no page for it.
//
// Timely: it lets the memory of a burst, such as many clients that read slowly, go back to
// the host soon after. By itself the runtime waits until as much was allocated again, or for two
// minutes; meanwhile the instance looks as large as in the burst, and the next one comes on
// top of it.
func collectGarbage(ctx context.Context, every time.Duration) error {
	reserve := make([]byte, reserveSize)
	defer runtime.KeepAlive(reserve)
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
		if now.cycles == before.cycles && now.objects >= reserveSize+collectFrom {
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
