package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// The paths that a measurement can take.
const (
	direct  = "direct"
	proxied = "proxied"
)

// figure is one measurement, taken several times.
type figure struct {
	Name    string  `json:"name"`
	Path    string  `json:"path"`
	Clients int     `json:"clients"`
	Runs    int     `json:"runs"`
	Unit    string  `json:"unit"`
	Min     float64 `json:"min"`
	Median  float64 `json:"median"`
	Max     float64 `json:"max"`
}

type figures []figure

// of sums up samples; there is at least one.
func of(name, path string, clients int, unit string, samples []float64) figure {
	slices.Sort(samples)
	median := samples[len(samples)/2]
	if len(samples)%2 == 0 {
		median = (samples[len(samples)/2-1] + median) / 2
	}
	return figure{
		Name: name, Path: path, Clients: clients, Runs: len(samples), Unit: unit,
		Min: samples[0], Median: median, Max: samples[len(samples)-1],
	}
}

// ofDirect is one transfer on a path in shares of the direct one of the same round.
func ofDirect(name, path string, clients int, speed map[string][]float64) figure {
	shares := make([]float64, len(speed[path]))
	for round, value := range speed[path] {
		shares[round] = value / speed[direct][round]
	}
	return of(name+"_of_direct", path, clients, "of direct", shares)
}

func (f figures) find(name, path string, clients int) (figure, bool) {
	for _, one := range f {
		if one.Name == name && one.Path == path && one.Clients == clients {
			return one, true
		}
	}
	return figure{}, false
}

func (f figures) print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "NAME\tPATH\tCLIENTS\tRUNS\tMIN\tMEDIAN\tMAX\t UNIT")
	for _, one := range f {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%.4g\t%.4g\t%.4g\t %s\n", one.Name, one.Path, one.Clients, one.Runs, one.Min, one.Median, one.Max, one.Unit)
	}
	table.Flush()
}
