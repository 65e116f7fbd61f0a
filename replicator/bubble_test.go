package replicator

import (
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs a test in a bubble, in a new fixture.
func bubble(t *testing.T, test func(t *testing.T, w *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t)
		test(t, w)
		for _, broken := range w.broke() {
			t.Error(broken)
		}
	})
}

// wait lets time pass in the bubble.
func wait(d time.Duration) { time.Sleep(d) }

// until waits until the condition holds, for at most a given time of the bubble.
func until(t *testing.T, most time.Duration, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(most); !condition(); wait(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v", most)
		}
	}
}
