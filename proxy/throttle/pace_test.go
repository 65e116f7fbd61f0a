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
