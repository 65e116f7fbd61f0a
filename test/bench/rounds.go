package main

import (
	"context"
	"fmt"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc"

	"praefect/test/cluster"
)

// way is one path that calls can take.
type way struct {
	conn    *grpc.ClientConn
	storage string // as requests name it there
	pid     int    // of the process between client and storage; 0 for none
	// repairs has the cluster whose repairs after a slice are part of the slice, and whose votes
	// are counted; nil for none.
	repairs *cluster.Cluster
}

// repository is the n-th one of a way: the ways share none, so that a direct write changes nothing
// behind the proxy's back.
func (w way) repository(path string, n int) *gitalypb.Repository {
	return benchRepository(path+w.storage, w.storage, n)
}

// rounds measures one call on several ways, one after the other, time and again. A way is compared
// with the direct one of the same round, so that a machine that is slower for a while slows both.
type rounds struct {
	name         string
	ways         map[string]way
	clients      int
	repositories int // that the calls go round
	call         func(ctx context.Context, to way, path string, n int) error
}

// inTurns is the order of the ways in a round.
var inTurns = []string{direct, proxied, strong, eventual, streamed, bare, copying, alone}

// measure has the figures of several calls.
func measure(ctx context.Context, s settings, several ...rounds) (all figures, err error) {
	for _, r := range several {
		measured, err := r.run(ctx, s)
		if err != nil {
			return nil, err
		}
		all = append(all, measured...)
	}
	return all, nil
}

// run returns the figures of each way: the calls of a second, also as a share of direct ones; the
// median time of a call, of a first one of its repository, and the time that a way adds; the
// processor time of the process between for 1,000 calls; and the votes of a call.
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
			{"p50", "ms"}, {"first_p50", "ms"}, {"rate", "calls/s"}, {"of_direct", "of direct"}, {"added_p50", "ms"},
			{"cpu_per_1000_calls", "s"}, {"votes_per_call", "votes"},
		} {
			if taken := samples[path][f.what]; taken != nil {
				all = append(all, of(r.name+"_"+f.what, path, r.clients, f.unit, taken))
			}
		}
	}
	return all, nil
}

// slice measures one way once. It begins with a call for each repository and each client: the
// first one of a client makes what the others find, and the first write of a repository waits for
// its intent.
func (r rounds) slice(ctx context.Context, s settings, to way, path string) (map[string]float64, error) {
	cpu, votes, err := to.spent(ctx)
	if err != nil {
		return nil, err
	}
	load := load{clients: r.clients, slice: s.slice, call: func(n int) error { return r.call(ctx, to, path, n) }}
	first, err := load.lap(max(r.repositories, r.clients))
	if err != nil {
		return nil, err
	}
	latencies, err := load.run()
	if err != nil {
		return nil, err
	}
	taken := map[string]float64{"p50": median(latencies), "first_p50": median(first), "rate": float64(len(latencies)) / s.slice.Seconds()}
	if to.repairs != nil {
		if err := settle(ctx, to.repairs); err != nil {
			return nil, err
		}
	}
	cpuAfter, votesAfter, err := to.spent(ctx)
	if err != nil {
		return nil, err
	}
	calls := float64(len(first) + len(latencies))
	if to.pid != 0 {
		taken["cpu_per_1000_calls"] = 1000 * (cpuAfter - cpu) / calls
	}
	if to.repairs != nil {
		taken["votes_per_call"] = (votesAfter - votes) / calls
	}
	return taken, nil
}

// spent is the processor time of the process between so far, and the votes that it agreed to.
func (w way) spent(ctx context.Context) (cpu, votes float64, err error) {
	if w.repairs != nil {
		if votes, err = committedVotes(ctx, w.repairs); err != nil {
			return 0, 0, err
		}
	}
	if w.pid != 0 {
		cpu, err = cpuSeconds(w.pid)
	}
	return cpu, votes, err
}
