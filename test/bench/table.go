package main

import (
	"fmt"
	"io"
)

// row is a line of the table: a figure that has an aim.
type row struct {
	what, name string
	clients    int
	aim        float64
	atLeast    bool // aim is a lower bound
}

// rows are what idling, a read, a voted write and bulk data should cost.
var rows = []row{
	{"idle leader, % of a core", "idle_leader", 0, 1, false},
	{"idle follower, % of a core", "idle_follower", 0, 0.5, false},
	{"read, storage in memory, of direct", "read_of_direct", 1, 0.45, true},
	{"", "read_of_direct", 16, 0.50, true},
	{"", "read_of_direct", 64, 0.50, true},
	{"the same, p50 added, ms", "read_added_p50", 1, 0.15, false},
	{"the same, processor time per 1,000 calls, s", "read_cpu_per_1000_calls", 1, 0.20, false},
	{"", "read_cpu_per_1000_calls", 16, 0.08, false},
	{"", "read_cpu_per_1000_calls", 64, 0.06, false},
	{"voted `WriteRef`, storages in memory, calls/s", "voted_write_rate", 1, 800, true},
	{"", "voted_write_rate", 16, 3000, true},
	{"", "voted_write_rate", 64, 4000, true},
	{"the same, processor time per call, ms", "voted_write_cpu_per_1000_calls", 1, 0.8, false},
	{"", "voted_write_cpu_per_1000_calls", 16, 0.35, false},
	{"`FindCommit`, git that runs already, of direct", "find_commit_of_direct", 1, 0.80, true},
	{"", "find_commit_of_direct", 16, 0.80, true},
	{"`FindCommit` on nodes, of direct", "node_find_commit_of_direct", 1, 0.80, true},
	{"", "node_find_commit_of_direct", 16, 0.80, true},
	{"`RefExists` on nodes, of direct", "node_ref_exists_of_direct", 1, 0.95, true},
	{"", "node_ref_exists_of_direct", 16, 0.95, true},
	{"voted `WriteRef` on nodes, of direct", "node_voted_write_of_direct", 1, 0.60, true},
	{"", "node_voted_write_of_direct", 16, 0.40, true},
	{"the same, processor time per call, ms", "node_voted_write_cpu_per_1000_calls", 1, 3, false},
	{"blob of 2 MB from nodes, of direct", "node_blob_of_direct", 1, 0.92, true},
	{"", "node_blob_of_direct", 16, 0.98, true},
	{"bulk, storage in memory, processor time per GB, s", "cpu_per_gb", 1, 0.70, false},
	{"push of 10 MB to three storages in memory, of three direct ones", "upload_to_three_of_direct", 1, 0.90, true},
	{"", "upload_to_three_of_direct", 16, 0.90, true},
	{"clone over a sidechannel, storage in memory, of direct", "clone_sidechannel_of_direct", 1, 0.85, true},
	{"`git clone`, of direct", "clone_git_of_direct", 1, 0.92, true},
}

// table prints, in Markdown, the rows that were measured: the median, and the least and the most in brackets.
func table(w io.Writer, all figures) {
	var lines []string
	for _, r := range rows {
		ours, ok := all.find(r.name, proxied, r.clients)
		if !ok {
			continue
		}
		verdict := "reached"
		if a := (aim{value: ours.Median, want: r.aim, defect: r.aim, atLeast: r.atLeast}); a.verdict() != "as aimed" {
			verdict = "**missed**"
		}
		bound := "≤"
		if r.atLeast {
			bound = "≥"
		}
		lines = append(lines, fmt.Sprintf("| %s | %d | %s | %s | %s | %s | %s %g | %s |\n",
			r.what, r.clients, cell(all, r, copying), cell(all, r, bare), inBrackets(ours), cell(all, r, streamed), bound, r.aim, verdict))
	}
	if len(lines) == 0 {
		return
	}
	fmt.Fprint(w, "| work | clients | bytes copied | bare pass-through | praefect | praefect without frames | aim | |\n|---|---|---|---|---|---|---|---|\n")
	for _, line := range lines {
		fmt.Fprint(w, line)
	}
}

// cell is a figure of another way, empty if there is none.
func cell(all figures, r row, path string) string {
	f, ok := all.find(r.name, path, r.clients)
	if !ok {
		f, ok = all.find(r.name+"_"+path, proxied, r.clients)
	}
	if !ok {
		return ""
	}
	return inBrackets(f)
}

func inBrackets(f figure) string {
	return fmt.Sprintf("%.3g (%.3g–%.3g)", f.Median, f.Min, f.Max)
}
