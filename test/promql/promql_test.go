package promql

import (
	"reflect"
	"testing"
)

func TestParse(t *testing.T) {
	for expression, want := range map[string]Use{
		`up`: {Metrics: map[string][]string{"up": nil}},
		`max by (job, a) (x{c="by (q)",d=~"e|f"}) == 1 or vector(0)`: {
			Metrics: map[string][]string{"x": {"c", "d"}}, Groups: []string{"job", "a"},
		},
		`histogram_quantile(0.99, sum by (le) (rate(h_bucket{job="$job"}[$__rate_interval])))`: {
			Metrics: map[string][]string{"h_bucket": {"job"}}, Groups: []string{"le"},
		},
		`scalar(max(a)) - b:c{} / on (z) group_left (y) (d offset 5m > 0.05)`: {
			Metrics: map[string][]string{"a": nil, "b:c": nil, "d": nil}, Groups: []string{"z", "y"},
		},
	} {
		got, err := Parse(expression)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", expression, got, err, want)
		}
	}
	for _, expression := range []string{"1 + 2", `{job="a"}`, "a ? b", "sum by job (a)"} {
		if got, err := Parse(expression); err == nil {
			t.Errorf("%s: got %+v and no error", expression, got)
		}
	}
}

func TestBase(t *testing.T) {
	known := func(name string) bool { return name == "h" || name == "a_count" || name == "a" }
	for series, want := range map[string]string{"h_bucket": "h", "h_sum": "h", "a_count": "a_count", "b_count": "b_count", "h": "h"} {
		if got := Base(series, known); got != want {
			t.Errorf("%s: got %s, want %s", series, got, want)
		}
	}
}
