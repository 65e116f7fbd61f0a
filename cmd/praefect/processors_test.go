package main

import (
	"runtime"
	"testing"
	"time"
)

// TestProcessors: one processor in calm, and as many as before once a storage is used or the calm ends.
func TestProcessors(t *testing.T) {
	before := runtime.GOMAXPROCS(3)
	defer runtime.GOMAXPROCS(before)
	p := newProcessors(func(string) string { return "3" })
	for _, end := range []func(){func() { p.calm(false) }, p.used} {
		p.calm(true)
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("%d processors in calm", n)
		}
		end()
		for deadline := time.Now().Add(time.Minute); runtime.GOMAXPROCS(0) != 3; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d processors after the calm, want 3", runtime.GOMAXPROCS(0))
			}
		}
	}
}
