package session_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"praefect/test/must"
)

func TestSession_metricsTellWhoLeadsAndWhoIsPrimary(t *testing.T) {
	run(t, func(t *testing.T, w *testCluster) {
		w.settle()
		var leaders, primaries float64
		for _, n := range w.nodes {
			reg := prometheus.NewPedanticRegistry()
			reg.MustRegister(n.session.Collector())
			problems, err := testutil.GatherAndLint(reg)
			if err != nil || len(problems) > 0 {
				t.Errorf("lint: %v, %v", problems, err)
			}
			families, err := reg.Gather()
			must.Succeed(t, err)
			for _, f := range families {
				for _, m := range f.GetMetric() {
					switch v := m.GetGauge().GetValue(); f.GetName() {
					case "praefect_lease_seconds":
						if v <= 0 || v >= 1 {
							t.Errorf("%s: a lease of %v s", n.id, v)
						}
					case "praefect_leader":
						leaders += v
					case "gitaly_praefect_primaries":
						primaries += v
					}
				}
			}
		}
		if leaders != 1 || primaries != float64(len(w.nodes)) {
			t.Errorf("%v leaders, %v primaries at %d instances", leaders, primaries, len(w.nodes))
		}
	})
}
