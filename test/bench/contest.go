package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"praefect/test/cluster"
)

// side is one of the ways that a contest compares.
type side struct {
	c       *cluster.Cluster // whose instance it leads through; nil if through none
	conn    *grpc.ClientConn
	storage string // as requests name it there
}

// contest measures one call on several sides, in turns.
type contest struct {
	name  string
	sides map[string]side
	runs  int
	load  load
	call  func(path string, n int) error
}

// run returns the figures: the figures of a mode have it in their names.
func (d contest) run(ctx context.Context) (figures, error) {
	for _, to := range d.sides {
		if to.c != nil {
			if err := settle(ctx, to.c); err != nil {
				return nil, err
			}
		}
	}
	samples := make(map[string]map[string][]float64) // by path and unit
	for range d.runs {
		for _, path := range []string{direct, strong, eventual} {
			taken, err := d.slice(ctx, path)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, %d clients: %w", d.name, path, d.load.clients, err)
			}
			if samples[path] == nil {
				samples[path] = make(map[string][]float64)
			}
			for what, value := range taken {
				samples[path][what] = append(samples[path][what], value)
			}
		}
	}
	var all figures
	add := func(name, path, unit string, taken []float64) {
		if len(taken) > 0 {
			all = append(all, of(name, path, d.load.clients, unit, taken))
		}
	}
	add(d.name+"_p50", direct, "ms", samples[direct]["p50"])
	for _, mode := range []string{strong, eventual} {
		name, taken := d.name+"_"+mode, samples[mode]
		add(name+"_p50", proxied, "ms", taken["p50"])
		add(name+"_rate", proxied, "calls/s", taken["rate"])
		add(name+"_cpu_per_1000_calls", proxied, "s", taken["cpu"])
	}
	add(d.name+"_strong_votes_per_call", proxied, "votes", samples[strong]["votes"])
	return all, nil
}

// slice measures one side once, and leaves nothing to repair.
func (d contest) slice(ctx context.Context, path string) (map[string]float64, error) {
	to := d.sides[path]
	var cpu, votes float64
	var err error
	if to.c != nil {
		if cpu, votes, err = spent(ctx, to.c); err != nil {
			return nil, err
		}
	}
	d.load.call = func(n int) error { return d.call(path, n) }
	// The first write to a repository waits for its mark, and is not measured.
	first := d.load
	first.slice = d.load.slice / 2
	warm, err := first.run()
	if err != nil {
		return nil, err
	}
	latencies, err := d.load.run()
	if err != nil {
		return nil, err
	}
	calls := float64(len(latencies))
	taken := map[string]float64{
		"p50":  median(latencies),
		"rate": calls / d.load.slice.Seconds(),
	}
	calls += float64(len(warm))
	if to.c == nil {
		return taken, nil
	}
	// Repairs afterwards are part of the cost of a write.
	if err := settle(ctx, to.c); err != nil {
		return nil, err
	}
	cpuAfter, votesAfter, err := spent(ctx, to.c)
	if err != nil {
		return nil, err
	}
	taken["cpu"], taken["votes"] = 1000*(cpuAfter-cpu)/calls, (votesAfter-votes)/calls
	return taken, nil
}

// spent is the processor time of an instance so far, and the votes that it agreed to.
func spent(ctx context.Context, c *cluster.Cluster) (cpu, votes float64, err error) {
	if votes, err = committedVotes(ctx, c); err != nil {
		return 0, 0, err
	}
	cpu, err = cpuSeconds(c.Instances[0].PID())
	return cpu, votes, err
}
