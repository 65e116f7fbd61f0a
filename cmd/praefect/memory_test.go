package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

var burst [][]byte // kept until the test lets go of it

// TestCollectGarbage: what a burst has left is collected, although nothing more is allocated.
func TestCollectGarbage(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing collects by itself
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	runtime.GC()
	before := readHeap()
	for range 4 {
		burst = append(burst, make([]byte, collectFrom/2))
	}
	if now := readHeap(); now.objects < before.objects+2*collectFrom {
		t.Fatalf("the heap has %d bytes, and had %d", now.objects, before.objects)
	}
	burst = nil
	go func() { done <- collectGarbage(ctx, 10*time.Millisecond) }()
	eventually(t, func() error {
		if now := readHeap(); now.objects >= before.objects+reserveSize+collectFrom {
			return fmt.Errorf("the heap still has %d bytes", now.objects)
		}
		return nil
	})
	// Once it is gone there is nothing more to do.
	cycles := readHeap().cycles
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	<-timer.C
	cancel()
	should(t, <-done)
	if more := readHeap().cycles - cycles; more > 2 {
		t.Errorf("%d more collections for nothing", more)
	}
}

// TestCollectGarbage_reserve: garbage in a small heap is collected rarely.
func TestCollectGarbage_reserve(t *testing.T) {
	const garbage, piece = 512 << 20, 64 << 10
	cycles := func() uint64 {
		runtime.GC()
		before := readHeap().cycles
		for range garbage / piece {
			burst = [][]byte{make([]byte, piece)}
		}
		burst = nil
		return readHeap().cycles - before
	}
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	without := cycles()

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	runtime.GC()
	objects := readHeap().objects
	go func() { done <- collectGarbage(ctx, time.Hour) }()
	eventually(t, func() error {
		if now := readHeap(); now.objects < objects+reserveSize/2 {
			return fmt.Errorf("the heap has %d bytes", now.objects)
		}
		return nil
	})
	if with := cycles(); with > garbage/reserveSize+4 || without < 2*with {
		t.Errorf("%d collections for %d MiB of garbage, %d without the reserve", with, garbage>>20, without)
	}
	cancel()
	should(t, <-done)
}
