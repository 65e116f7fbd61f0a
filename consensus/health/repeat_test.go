package health_test

import (
	"testing"
	"time"

	"praefect/consensus/health"
)

// A report comes again before it has expired, and a doubt soon.
func TestRepeatAfter(t *testing.T) {
	const age = 300 * time.Millisecond
	well, slow := []health.Report{{Status: health.Well}}, []health.Report{{Status: health.Well}, {Status: health.Slow}}
	for _, tc := range []struct {
		name    string
		reports []health.Report
		calm    bool
		want    time.Duration
	}{
		{name: "well", reports: well, want: age / 2},
		{name: "well, in calm", reports: well, calm: true, want: health.IdleAge / 2},
		{name: "a doubt", reports: slow, want: health.RepeatDoubt},
		{name: "a doubt, in calm", reports: slow, calm: true, want: health.RepeatDoubt},
		{name: "it doubts itself", calm: true, want: age / 2},
	} {
		if got := health.RepeatAfter(tc.reports, tc.calm, age); got != tc.want {
			t.Errorf("%s: after %v, want %v", tc.name, got, tc.want)
		}
	}
}
