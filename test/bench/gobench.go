package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"praefect/test/cluster"
)

// frame takes the allocations of the byte path from its package's benchmark on
// fake streams.
func frame(ctx context.Context, _ cluster.Binaries, s settings) (figures, error) {
	values, err := goBench(ctx, s.runs, "./proxy/stream", "BenchmarkForwarder_frame/frame", "20000x", "allocs/op")
	if err != nil {
		return nil, err
	}
	var all figures
	for _, samples := range values {
		all = append(all, of("frame_allocs", proxied, 1, "allocs", samples))
	}
	return all, nil
}

// goBench runs a benchmark and returns its values of one unit by its name.
func goBench(ctx context.Context, runs int, pkg, name, times, unit string) (map[string][]float64, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", name, "-benchmem", "-benchtime", times, "-count", strconv.Itoa(runs), pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	values := make(map[string][]float64)
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		for i, field := range fields {
			if field != unit || !strings.HasPrefix(fields[0], "Benchmark") {
				continue
			}
			value, err := strconv.ParseFloat(fields[i-1], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", cmd, err)
			}
			name := fields[0]
			if cut := strings.LastIndexByte(name, '-'); cut > 0 {
				name = name[:cut] // the number of processors
			}
			values[name] = append(values[name], value)
		}
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("%s measured nothing:\n%s", cmd, out)
	}
	return values, nil
}
