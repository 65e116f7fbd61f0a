package replicator

import (
	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/state"
)

var (
	unavailableDesc = prometheus.NewDesc("gitaly_praefect_unavailable_repositories",
		"Repositories without an in-sync storage that serves: no writes, and no reads unless stale ones are permitted.",
		[]string{"virtual_storage"}, nil)
	behindDesc = prometheus.NewDesc("gitaly_praefect_behind_repositories",
		"Repositories of which the storage misses an acknowledged write.",
		[]string{"virtual_storage", "gitaly_storage"}, nil)
	inDoubtDesc = prometheus.NewDesc("gitaly_praefect_in_doubt_repositories",
		"Repositories with a write that ended without full account and is not resolved yet.",
		[]string{"virtual_storage"}, nil)
)

var conflictDesc = prometheus.NewDesc("gitaly_praefect_conflicting_repositories",
	"Repositories with replicas of which neither contains the other: both are kept until accept-dataloss says which one counts.",
	[]string{"virtual_storage"}, nil)

// ledgerCollector counts what the ledger says, in the view of the moment. A
// scrape costs as much as there are entries: what is wrong, not what exists.
type ledgerCollector struct{ ledger Ledger }

// Describe implements prometheus.Collector.
func (c *ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- unavailableDesc
	ch <- behindDesc
	ch <- inDoubtDesc
	ch <- conflictDesc
}

// Collect implements prometheus.Collector.
func (c *ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	view := c.ledger.View()
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		unavailable, inDoubt, behind := 0, 0, make(map[string]int)
		view.Each(vs.Name, func(_ state.Key, e *state.Entry) bool {
			if vs.Unavailable(e) {
				unavailable++
			}
			if e.HasDoubt() {
				inDoubt++
			}
			for _, storage := range e.Behind {
				behind[storage]++
			}
			return true
		})
		gauge := func(desc *prometheus.Desc, n int, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
		}
		gauge(unavailableDesc, unavailable, vs.Name)
		gauge(inDoubtDesc, inDoubt, vs.Name)
		gauge(conflictDesc, view.InConflict(vs.Name), vs.Name)
		for j := range vs.Succession {
			gauge(behindDesc, behind[vs.Succession[j].Name], vs.Name, vs.Succession[j].Name)
		}
	}
}
