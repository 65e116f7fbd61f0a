package main

import (
	"fmt"
	"io"
	"strings"
)

// aim is a value that we want, and one that is a defect; between them lies a
// note with a profile.
type aim struct {
	what         string
	value        float64
	unit         string
	want, defect float64
	atLeast      bool // want is a lower bound
}

func (a aim) verdict() string {
	reached := func(bound float64) bool {
		if a.atLeast {
			return a.value >= bound
		}
		return a.value <= bound
	}
	switch {
	case reached(a.want):
		return "as aimed"
	case reached(a.defect):
		return "MISSES THE AIM"
	}
	return "DEFECT"
}

// judge holds the measured figures against the aims.
func judge(w io.Writer, all figures) {
	for _, name := range []string{"accessor", "mutator"} {
		p, ok := all.find(name+"_p50", proxied, 1)
		b, also := all.find(name+"_p50", bare, 1)
		if ok && also {
			fmt.Fprintf(w, "%-48s %9.3f ms     (of the added time; the rest is gRPC and a process in between)\n", name+"_p50 over a bare pass-through", p.Median-b.Median)
		}
	}
	for _, name := range []string{"down_git", "up_git", "down_memory", "up_memory"} {
		d, ok := all.find(name, direct, 1)
		p, also := all.find(name, proxied, 1)
		c, too := all.find(name+"_"+copying, proxied, 1)
		if ok && also && too {
			fmt.Fprintf(w, "%-48s %9.3f %%      (which is itself at %.0f %% of direct)\n", name+" proxied of only copying bytes", 100*p.Median/c.Median, 100*c.Median/d.Median)
		}
	}
	for _, clients := range unaryClients {
		v, ok := all.find("write_ref_p50", strong, clients)
		e, also := all.find("write_ref_p50", eventual, clients)
		if ok && also {
			fmt.Fprintf(w, "%-48s %9.3f ms     (%.1f times)\n", fmt.Sprintf("votes add to a write, %d client(s)", clients), v.Median-e.Median, v.Median/e.Median)
		}
	}
	for _, a := range aims(all) {
		fmt.Fprintf(w, "%-48s %9.3f %-6s (aim %v, defect %v): %s\n", a.what, a.value, a.unit, a.want, a.defect, a.verdict())
	}
}

// aims are those that the table does not have.
func aims(all figures) []aim {
	var found []aim
	for _, name := range []string{"accessor_added_p50", "mutator_added_p50"} {
		// With more clients than cores the difference is queueing, not cost:
		// the aim is for a client that has the machine to itself.
		if p, ok := all.find(name, proxied, 1); ok {
			found = append(found, aim{what: name, value: p.Median, unit: "ms", want: 0.25, defect: 0.5})
		}
	}
	for _, name := range []string{"down_git", "up_git"} {
		d, ok := all.find(name, direct, 1)
		p, also := all.find(name, proxied, 1)
		if ok && also {
			found = append(found, aim{what: name + " proxied of direct", value: 100 * p.Median / d.Median, unit: "%", want: 90, defect: 75, atLeast: true})
		}
	}
	for _, clients := range unaryClients {
		// Three storages vote twice on a reference; with less, something else was measured.
		if f, ok := all.find("write_ref_votes_per_call", strong, clients); ok {
			found = append(found, aim{what: fmt.Sprintf("votes per voted write, %d client(s)", clients), value: f.Median, unit: "", want: 6, defect: 6, atLeast: true})
		}
	}
	for _, f := range all {
		if strings.HasPrefix(f.Name, "push_") && strings.HasSuffix(f.Name, "_failed") {
			found = append(found, aim{what: f.Name + ", " + f.Path, value: f.Max, unit: f.Unit, want: 0, defect: 0})
		}
	}
	if f, ok := all.find("catchup_rate", proxied, 1); ok {
		found = append(found, aim{what: "a storage that catches up", value: f.Median, unit: "/s", want: 60, defect: 30, atLeast: true})
	}
	if f, ok := all.find("catchup_first", proxied, 1); ok {
		found = append(found, aim{what: "its first repair", value: f.Median, unit: "ms", want: 1000, defect: 3000})
	}
	if f, ok := all.find("frame_allocs", proxied, 1); ok {
		found = append(found, aim{what: "allocations per frame", value: f.Median, unit: "", want: 0, defect: 0})
	}
	small, ok := all.find("queue_1000", direct, 1)
	for _, name := range []string{"queue_100000", "queue_1000000"} {
		if large, also := all.find(name, direct, 1); ok && also {
			found = append(found, aim{what: name + " to queue_1000", value: large.Median / small.Median, unit: "", want: 1.5, defect: 3})
		}
	}
	return found
}
