package cluster

import (
	"fmt"
	"strconv"
	"strings"
)

// Metrics are the values of an instance's series, each under its name and labels
// as /metrics prints them: name{label="value",…}.
type Metrics map[string]float64

// Sum adds all series of one name; found is false if there is none.
func (m Metrics) Sum(name string) (sum float64, found bool) {
	for series, value := range m {
		if series == name || strings.HasPrefix(series, name+"{") {
			sum, found = sum+value, true
		}
	}
	return sum, found
}

func parseMetrics(text string) (Metrics, error) {
	all := make(Metrics)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		// Values of labels may hold spaces, numbers may not, and no time stands behind them.
		last := strings.LastIndexByte(line, ' ')
		if last < 0 {
			return nil, fmt.Errorf("read the metrics: no value in %q", line)
		}
		value, err := strconv.ParseFloat(line[last+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("read the metrics: %w in %q", err, line)
		}
		all[line[:last]] = value
	}
	return all, nil
}
