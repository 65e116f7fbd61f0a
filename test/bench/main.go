// Command bench measures what the proxy costs: direct against proxied, side by
// side in one run, and the queue and the byte path by the benchmarks of their
// packages. It prints min, median and max of several runs and writes them to
// build/bench.json. `make bench` runs it; nothing fails because a machine is
// slow, but what misses an aim is said.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"praefect/test/cluster"
)

// settings say how long to measure.
type settings struct {
	runs     int
	slice    time.Duration
	bulkSize int64
	only     string
}

func main() {
	s := settings{}
	flag.IntVar(&s.runs, "runs", 5, "how often each measurement is taken")
	flag.DurationVar(&s.slice, "slice", time.Second, "how long one unary measurement lasts")
	flag.Int64Var(&s.bulkSize, "bulk", 200<<20, "bytes of one bulk transfer")
	flag.StringVar(&s.only, "only", "", "unary, bulk, frame or queue; empty: all")
	serve := flag.String("serve-memory", "", "be a storage in memory of that name (for this program's own use)")
	passTo := flag.String("pass-to", "", "pass calls on to a storage (for this program's own use)")
	copyTo := flag.String("copy-to", "", "copy bytes to and from a storage (for this program's own use)")
	out := flag.String("o", filepath.Join("build", "bench.json"), "where to write the figures")
	flag.Parse()
	if *serve != "" {
		exit(serveMemory(*serve, s.bulkSize))
	}
	if *passTo != "" {
		exit(servePassThrough(*passTo))
	}
	if *copyTo != "" {
		exit(serveCopying(*copyTo))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, s, *out))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, s settings, out string) error {
	binaries, err := cluster.BinariesIn("build")
	if err != nil {
		return fmt.Errorf("%w (make build makes them)", err)
	}
	var all figures
	for _, part := range []struct {
		name    string
		measure func(context.Context, cluster.Binaries, settings) (figures, error)
	}{{"unary", unary}, {"bulk", bulk}, {"frame", frame}, {"queue", queue}} {
		if s.only != "" && s.only != part.name {
			continue
		}
		fmt.Fprintf(os.Stderr, "measuring %s …\n", part.name)
		measured, err := part.measure(ctx, binaries, s)
		if err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
		measured.print(os.Stdout)
		all = append(all, measured...)
	}
	judge(os.Stdout, all)
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, append(text, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("written to %s\n", out)
	return nil
}
