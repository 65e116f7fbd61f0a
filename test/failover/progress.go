package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// stopwatch knows where the time of a run went.
type stopwatch struct {
	last time.Time
	laps []lap
}

type lap struct {
	name string
	took time.Duration
}

// lap ends a part of the run.
func (s *stopwatch) lap(name string) {
	now := time.Now()
	s.laps = append(s.laps, lap{name, now.Sub(s.last)})
	s.last = now
}

func (s *stopwatch) String() string {
	var sum time.Duration
	var parts []string
	for _, l := range s.laps {
		sum += l.took
		parts = append(parts, fmt.Sprintf("%s %.1f", l.name, l.took.Seconds()))
	}
	return fmt.Sprintf("%.1f s: %s", sum.Seconds(), strings.Join(parts, ", "))
}

// progress tells how far all runs are.
type progress struct {
	began time.Time
	steps []step
	runs  int
}

// usual is about how long a run takes beside the time that its step asks for.
const usual = 6 * time.Second

// work is how long the runs from one step on take by that measure.
func (p progress) work(from, done int) (sum time.Duration) {
	for n, s := range p.steps[from:] {
		left := p.runs
		if n == 0 {
			left -= done
		}
		sum += time.Duration(left) * (usual + s.watch)
	}
	return sum
}

// left is how long the remaining runs will take: at the pace of the runs so far, and
// by the usual measure when nothing was.
func (p progress) left(step, run int, now time.Time) time.Duration {
	all, left := p.work(0, 0), p.work(step, run)
	if all == left {
		return left
	}
	return time.Duration(float64(now.Sub(p.began)) * float64(left) / float64(all-left))
}

func (p progress) tell(w io.Writer, step, run int) {
	fmt.Fprintf(w, "run %d of %d, about %v left\n", step*p.runs+run+1, len(p.steps)*p.runs, p.left(step, run, time.Now()).Round(10*time.Second))
}
