// Command bench measures the cost of the proxy: direct against proxied, side by side in one run;
// writes that vote against writes that do not; and the queue and the byte path by the benchmarks of
// their packages. It prints min, median and max of several runs and writes them to
// build/bench.json. `make bench` runs it. Nothing fails because a machine is slow, but a missed aim
// is reported.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"praefect/test/cluster"
	"praefect/test/scenario"
)

// settings say how long to measure.
type settings struct {
	runs     int
	slice    time.Duration
	bulkSize int64
	only     string
	streams  bool
}

// few is how often something is measured that takes seconds.
func (s settings) few() int { return min(s.runs, 3) }

func main() {
	s := settings{}
	flag.IntVar(&s.runs, "runs", 5, "how often each measurement is taken (idle, and what takes seconds: 3 times)")
	flag.DurationVar(&s.slice, "slice", 400*time.Millisecond, "how long one unary measurement lasts")
	flag.Int64Var(&s.bulkSize, "bulk", 200<<20, "bytes of one bulk transfer")
	flag.StringVar(&s.only, "only", "", "some of unary, standin, findcommit, nodes, connections, bulk, upload, votes, clone, push, catchup, catchup-git, idle, frame, queue, with commas between; empty: all")
	flag.BoolVar(&s.streams, "streams", false, "measure reads also through an instance that does not forward them as frames (standin, findcommit and bulk)")
	serve := flag.String("serve-memory", "", "be a storage in memory of that name (for this program's own use)")
	git := flag.String("serve-git", "", "be a storage on real git of that directory (for this program's own use)")
	passTo := flag.String("pass-to", "", "pass calls on to a storage (for this program's own use)")
	copyTo := flag.String("copy-to", "", "copy bytes to and from a storage (for this program's own use)")
	out := flag.String("o", filepath.Join("build", "bench.json"), "where to write the figures")
	flag.Parse()
	if *serve != "" {
		exit(serveMemory(*serve, s.bulkSize))
	}
	if *git != "" {
		exit(serveGit(*git))
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
	}{{"unary", unary}, {"standin", standIn}, {"findcommit", findCommits}, {"nodes", nodes}, {"connections", connections}, {"votes", votes}, {"bulk", bulk}, {"upload", upload}, {"clone", clone}, {"push", push}, {"catchup", catchUp}, {"catchup-git", catchUpOnGit}, {"idle", idle}, {"frame", frame}, {"queue", queue}} {
		if s.only != "" && !slices.Contains(strings.Split(s.only, ","), part.name) {
			continue
		}
		began := time.Now()
		fmt.Fprintf(os.Stderr, "measuring %s …\n", part.name)
		measured, err := part.measure(ctx, binaries, s)
		if err != nil {
			return fmt.Errorf("measure %s: %w", part.name, err)
		}
		fmt.Fprintf(os.Stderr, "%s took %v\n", part.name, time.Since(began).Round(time.Second))
		measured.print(os.Stdout)
		all = append(all, measured...)
	}
	if len(all) == 0 {
		return fmt.Errorf("there is nothing called %q to measure", s.only)
	}
	judge(os.Stdout, all)
	table(os.Stdout, all)
	if err := scenario.WriteJSON(out, all, 0o644); err != nil {
		return err
	}
	fmt.Printf("written to %s\n", out)
	return nil
}
