// Command report reads the output of `go test -json` and prints a summary for people: a line for
// each package, the whole output of each failure, and a closing line with the counts. It exits 1 if
// a test failed, if no test ran, or, with CI set in the environment, if a test was skipped.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of `go test -json`; see `go doc test2json`.
type event struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string
}

// allowed are the skips that CI permits: TestRealGitaly needs a real Gitaly, and
// TestCluster_rollsForthAndBack the history of the project, of which a shallow clone
// lacks the previous release.
var allowed = []string{"TestRealGitaly", "TestCluster_rollsForthAndBack"}

type report struct {
	out    io.Writer
	output map[string][]string // by package and test, until it is known how that ended

	passed, failed, skipped int
	refused                 []string // skips that CI does not permit
	faults                  []string // the output of failed tests, in short
	broken                  []string // packages that failed
}

func main() {
	r := &report{out: os.Stdout, output: make(map[string][]string)}
	if err := r.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
	if !r.close(os.Getenv("CI") != "") {
		os.Exit(1)
	}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) == nil {
				r.add(e)
			} else {
				fmt.Fprintf(r.out, "%s", line)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read test output: %w", err)
		}
	}
}

func (r *report) add(e event) {
	name := e.Package
	if e.Test != "" {
		name += " " + e.Test
	}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.output[name] = append(r.output[name], e.Output)
	case "pass", "fail", "skip":
		r.end(name, e)
		delete(r.output, name)
	}
}

// end counts a test or a package that has ended. Output of a subtest is kept
// with its own name, so a failed parent does not repeat it.
func (r *report) end(name string, e event) {
	switch {
	case e.Test == "" && e.Action == "fail":
		r.broken = append(r.broken, e.Package)
		r.print(name)
		fmt.Fprintf(r.out, "FAIL  %-40s %6.1fs\n", e.Package, e.Elapsed)
	case e.Test == "" && e.Action == "pass":
		fmt.Fprintf(r.out, "ok    %-40s %6.1fs\n", e.Package, e.Elapsed)
	case e.Test == "":
	case e.Action == "pass":
		r.passed++
	case e.Action == "fail":
		r.failed++
		r.print(name)
		r.faults = append(r.faults, name)
		r.faults = append(r.faults, said(r.output[name])...)
	case e.Action == "skip":
		r.skipped++
		r.print(name)
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(e.Test, a) }) {
			r.refused = append(r.refused, name)
		}
	}
}

// said are the first lines of an output that a test wrote itself, in short: a long output hides the
// fault.
func said(output []string) (lines []string) {
	const most, width = 3, 400
	for _, line := range output {
		if line = strings.TrimSpace(line); strings.Contains(line, "_test.go:") && len(lines) < most {
			lines = append(lines, "  "+line[:min(len(line), width)])
		}
	}
	return lines
}

func (r *report) print(name string) {
	for _, line := range r.output[name] {
		fmt.Fprint(r.out, line)
	}
}

// close prints the counts and tells whether the run may count as passed.
func (r *report) close(ci bool) bool {
	for name := range r.output {
		// A test that never ended: its process died.
		r.print(name)
	}
	ok := len(r.broken) == 0 && r.failed == 0
	if ci && len(r.refused) > 0 {
		ok = false
		fmt.Fprintf(r.out, "skipped, which counts as failed here:\n  %s\n", strings.Join(r.refused, "\n  "))
	}
	if r.passed == 0 {
		ok = false
		fmt.Fprintln(r.out, "no test ran")
	}
	if len(r.faults) > 0 {
		fmt.Fprintf(r.out, "failed tests:\n  %s\n", strings.Join(r.faults, "\n  "))
	}
	if len(r.broken) > 0 {
		fmt.Fprintf(r.out, "failed packages:\n  %s\n", strings.Join(r.broken, "\n  "))
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed, r.skipped)
	return ok
}
