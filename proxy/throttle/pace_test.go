package throttle

import (
	"testing"
	"time"
)

func TestPace_isOfTheLineThatMoves(t *testing.T) {
	var p Pace
	now := time.Now()
	if got := p.Wait(10); got != 0 {
		t.Errorf("of an unknown line: %v", got)
	}
	for left := 20; left > 0; left-- {
		p.Moved(now, left)
		now = now.Add(100 * time.Millisecond)
	}
	if got := p.Wait(10); got != time.Second {
		t.Errorf("10 writes at 100 ms each: %v", got)
	}
	// A pause in which nothing moved counts as four moves at most.
	now = now.Add(time.Minute)
	p.Moved(now, 5)
	if got := p.Wait(10); got <= time.Second || got > 1500*time.Millisecond {
		t.Errorf("after a pause: %v", got)
	}
	// Of a line that has been empty nothing is known.
	p.Moved(now, 0)
	p.Moved(now.Add(time.Hour), 3)
	if got := p.Wait(10); got != 0 {
		t.Errorf("of another line: %v", got)
	}
}

// TestPace_aBurstMayFillTheLine has a line in which a write waits for 3 s: one with 10 s may join. Once
// the line has been so long for a while it may not, until the line is short again.
func TestPace_aBurstMayFillTheLine(t *testing.T) {
	var p Pace
	now := time.Now()
	moves := func(n, left int) {
		for range n {
			p.Moved(now, left)
			now = now.Add(100 * time.Millisecond)
		}
	}
	moves(10, 5)
	for _, c := range []struct {
		ahead int
		given time.Duration
		want  bool
	}{
		{30, 10 * time.Second, false},
		{30, 5 * time.Second, true},
		{0, time.Nanosecond, false},
	} {
		if got := p.TooLong(now, c.ahead, c.given); got != c.want {
			t.Errorf("a burst, %d ahead, with %v: %v", c.ahead, c.given, got)
		}
	}
	moves(29, 30)
	if p.TooLong(now, 30, 10*time.Second) {
		t.Error("it is long for 2.9 s, and 3 s of 10 are too long")
	}
	moves(2, 30)
	for ahead, want := range map[int]bool{30: true, 13: true, 12: false} {
		if got := p.TooLong(now, ahead, 10*time.Second); got != want {
			t.Errorf("it is long for 3.1 s, %d ahead: %v", ahead, got)
		}
	}
	moves(1, 9)
	if p.TooLong(now, 30, 10*time.Second) {
		t.Error("it was short meanwhile, and 3 s of 10 are too long")
	}
}

// TestPace_skips has a move that took long be no pace.
func TestPace_skips(t *testing.T) {
	var p Pace
	now := time.Now()
	for range 10 {
		p.Moved(now, 5)
		now = now.Add(100 * time.Millisecond)
	}
	now = now.Add(time.Minute)
	p.Skip(now.Add(-100 * time.Millisecond))
	p.Moved(now, 5)
	if got := p.Wait(10); got != time.Second {
		t.Errorf("10 writes at 100 ms each: %v", got)
	}
}
