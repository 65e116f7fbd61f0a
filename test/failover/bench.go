package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"praefect/test/postgres"
	"praefect/test/scenario"
	"praefect/test/workload"
)

// bench runs steps and keeps their results.
type bench struct {
	settings
	ground   *scenario.Ground
	postgres *postgres.Server // where it is not in a namespace
	stdout   io.Writer
}

// figure is one entry of failover.json; its names stay.
type figure struct {
	Step string `json:"step"`
	Mode string `json:"mode"`
	Runs int    `json:"runs"`
	// WritersGap is the longest time of a run without an acknowledged write of
	// anybody.
	WritersGap workload.Several `json:"writers_gap_ms"`
	// WritesFailed and ReadsFailed are sums over all runs. The clients of an
	// instance that is hit, and reads of unavailable repositories, are not in them.
	WritesFailed int `json:"writes_failed"`
	ReadsFailed  int `json:"reads_failed"`
	// UnavailableRepositories is a sum over all runs: the repositories that dataloss names until the
	// storage is back.
	UnavailableRepositories int `json:"unavailable_repositories"`
	// Slowest is the longest that a client waited in a run for any answer, if it was
	// not of the instance that is hit.
	Slowest workload.Several `json:"slowest_ms"`
	// HitUntil is when the last write of the hit instance's clients was
	// acknowledged, HitBack when all of them were served again; with how many of
	// their operations had failed in all runs.
	HitUntil  *workload.Several `json:"hit_until_ms,omitempty"`
	HitBack   *workload.Several `json:"hit_back_ms,omitempty"`
	HitFailed int               `json:"hit_failed,omitempty"`

	// gapP99 and slowestP99 are for people, in milliseconds.
	gapP99, slowestP99 float64
}

// run runs every step, and writes the figures after each. A run that went wrong
// does not keep the others from being run.
func (b *bench) run(ctx context.Context) error {
	all := b.kept
	failed := 0
	p := progress{began: time.Now(), steps: b.steps, runs: b.runs}
	for n, s := range b.steps {
		var outcomes []scenario.Outcome
		for run := range b.runs {
			p.tell(b.stdout, n, run)
			clock := &stopwatch{last: time.Now()}
			o, err := b.once(ctx, s, run, clock)
			if ctx.Err() != nil {
				return errors.Join(context.Cause(ctx), err)
			}
			b.tell(s, run, o, clock)
			if err != nil {
				failed++
				fmt.Fprintf(b.stdout, "%-16s %3d  FAILED: %v\n", s.name, run, err)
				continue
			}
			outcomes = append(outcomes, o)
		}
		if len(outcomes) == 0 {
			continue
		}
		f := sum(s, b.mode, outcomes)
		b.judge(s, f)
		all = append(all, f)
		if err := scenario.WriteJSON(b.out, all, 0o644); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d runs failed and do not count", failed)
	}
	return nil
}

// tell prints one line for a run, and some of the failures that it counts.
func (b *bench) tell(s step, run int, o scenario.Outcome, clock *stopwatch) {
	fmt.Fprintf(b.stdout, "%-16s %3d  gap %6d ms  slowest %6d ms  writes %d (%d failed)  reads %d (%d failed)  unavailable %d",
		s.name, run, o.Gap.Milliseconds(), o.Slowest.Milliseconds(), o.Writes, o.WritesFailed, o.Reads, o.ReadsFailed, o.Unavailable)
	if s.hit != nil {
		fmt.Fprintf(b.stdout, "  hit: until %d ms, back %d ms, %d failed", o.HitUntil.Milliseconds(), o.HitBack.Milliseconds(), o.HitFailed)
	}
	fmt.Fprintf(b.stdout, "  (%v)\n", clock)
	o.Explain(b.stdout)
}

func (b *bench) judge(s step, f figure) {
	fmt.Fprintf(b.stdout, "%-16s %d runs, gap %.0f / %.0f / %.0f ms, failed %d writes and %d reads, %d repositories unavailable\n",
		s.name, f.Runs, f.WritersGap.Min, f.WritersGap.Median, f.WritersGap.Max, f.WritesFailed, f.ReadsFailed, f.UnavailableRepositories)
	fmt.Fprintf(b.stdout, "%-16s p99 of the longest gap %.0f ms, of the slowest request %.0f ms\n", "", f.gapP99, f.slowestP99)
	for _, a := range s.wanted(b.mode) {
		verdict := "as aimed"
		if !a.met(f) {
			verdict = "MISSES THE AIM"
		}
		fmt.Fprintf(b.stdout, "%-16s   %s: %s\n", "", a.what, verdict)
	}
}

// sum makes one figure of several runs.
func sum(s step, mode string, outcomes []scenario.Outcome) figure {
	f := figure{Step: s.name, Mode: mode, Runs: len(outcomes)}
	var gaps, slowest, until, back []time.Duration
	for _, o := range outcomes {
		gaps, slowest = append(gaps, o.Gap), append(slowest, o.Slowest)
		until, back = append(until, o.HitUntil), append(back, o.HitBack)
		f.WritesFailed += o.WritesFailed
		f.ReadsFailed += o.ReadsFailed
		f.UnavailableRepositories += o.Unavailable
		f.HitFailed += o.HitFailed
	}
	f.WritersGap, f.Slowest = workload.Spread(gaps), workload.Spread(slowest)
	f.gapP99, f.slowestP99 = workload.Percentile(gaps, 99), workload.Percentile(slowest, 99)
	if s.hit != nil {
		hitUntil, hitBack := workload.Spread(until), workload.Spread(back)
		f.HitUntil, f.HitBack = &hitUntil, &hitBack
	}
	return f
}
