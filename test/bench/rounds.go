package main

import (
	"context"
	"fmt"

	"google.golang.org/grpc"
)

// way is one path that calls can take.
type way struct {
	conn    *grpc.ClientConn
	storage string // as requests name it there
	pid     int    // of the process between client and storage; 0 for none
}

// rounds measures one call on several ways, one after the other, time and again. A way is compared
// with the direct one of the same round, so that a machine that is slower for a while slows both.
type rounds struct {
	name    string
	ways    map[string]way
	clients int
	call    func(ctx context.Context, to way, path string, n int) error
}

// inTurns is the order of the ways in a round.
var inTurns = []string{direct, proxied, framed, bare, copying}

// run returns the figures of each way: the calls of a second, also as a share of direct ones; the
// median time of a call that a way adds; and the processor time of the process between for 1,000 calls.
func (r rounds) run(ctx context.Context, s settings) (figures, error) {
	samples := make(map[string]map[string][]float64) // by path and figure
	for range s.runs {
		now := make(map[string]map[string]float64)
		for _, path := range inTurns {
			to, ok := r.ways[path]
			if !ok {
				continue
			}
			taken, err := r.slice(ctx, s, to, path)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, %d clients: %w", r.name, path, r.clients, err)
			}
			now[path] = taken
			if path != direct {
				taken["of_direct"] = taken["rate"] / now[direct]["rate"]
				taken["added_p50"] = taken["p50"] - now[direct]["p50"]
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
	for _, path := range inTurns {
		for _, f := range []struct{ what, unit string }{
			{"rate", "calls/s"}, {"of_direct", "of direct"}, {"added_p50", "ms"}, {"cpu_per_1000_calls", "s"},
		} {
			if taken := samples[path][f.what]; taken != nil {
				all = append(all, of(r.name+"_"+f.what, path, r.clients, f.unit, taken))
			}
		}
	}
	return all, nil
}

// slice measures one way once, after calls that are not measured: the first one of a client makes
// what the others find, and the first write of a repository waits for its mark.
func (r rounds) slice(ctx context.Context, s settings, to way, path string) (map[string]float64, error) {
	load := load{clients: r.clients, slice: s.slice / 2, call: func(n int) error { return r.call(ctx, to, path, n) }}
	if _, err := load.run(); err != nil {
		return nil, err
	}
	load.slice = s.slice
	var before float64
	var err error
	if to.pid != 0 {
		if before, err = cpuSeconds(to.pid); err != nil {
			return nil, err
		}
	}
	latencies, err := load.run()
	if err != nil {
		return nil, err
	}
	taken := map[string]float64{"p50": median(latencies), "rate": float64(len(latencies)) / s.slice.Seconds()}
	if to.pid != 0 {
		after, err := cpuSeconds(to.pid)
		if err != nil {
			return nil, err
		}
		taken["cpu_per_1000_calls"] = 1000 * (after - before) / float64(len(latencies))
	}
	return taken, nil
}
