// Command simulate runs schedules of the simulation and prints one line of JSON that counts their
// events. It exits with 1 if a promise was broken, and with 2 if the schedules contained too few
// events of some kind.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"praefect/test/sim"
)

// enough is from how many schedules on they must have seen something of
// everything.
const enough = 1000

func main() {
	seed := flag.Uint64("seed", 1, "first seed")
	n := flag.Int("n", enough, "how many seeds")
	trace := flag.Bool("trace", false, "print what happens")
	soak := flag.Bool("soak", false, "go on for ever")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, *seed, *n, *trace, *soak))
}

func run(ctx context.Context, seed uint64, n int, trace, soak bool) int {
	for {
		cov, err := play(ctx, seed, n, trace)
		line, jsonErr := json.Marshal(cov)
		if jsonErr != nil {
			fmt.Fprintln(os.Stderr, jsonErr)
			return 2
		}
		fmt.Printf("%s\n", line)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if err := cov.Enough(); err != nil && cov.Schedules >= enough {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		if !soak || ctx.Err() != nil {
			return 0
		}
		seed += uint64(n)
	}
}

func play(ctx context.Context, seed uint64, n int, trace bool) (sim.Coverage, error) {
	if !trace {
		return sim.Batch(ctx, seed, n)
	}
	var cov sim.Coverage
	for i := range n {
		if err := sim.Run(seed+uint64(i), &cov, os.Stdout); err != nil {
			return cov, err
		}
	}
	return cov, nil
}
