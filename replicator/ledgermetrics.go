package replicator

import (
	"github.com/prometheus/client_golang/prometheus"

	"praefect/fsm/state"
)

var (
	unavailableDesc = prometheus.NewDesc("gitaly_praefect_unavailable_repositories",
		"Repositories without an in-sync storage that serves: no writes, and no reads unless stale ones are permitted.",
		[]string{"virtual_storage"}, nil)
	behindDesc = prometheus.NewDesc("praefect_behind_repositories",
		"Repositories of which the storage misses an acknowledged write.",
		[]string{"virtual_storage", "gitaly_storage"}, nil)
	inDoubtDesc = prometheus.NewDesc("praefect_in_doubt_repositories",
		"Repositories with a write that ended without full account and is not resolved yet.",
		[]string{"virtual_storage"}, nil)
)

var conflictDesc = prometheus.NewDesc("praefect_conflicting_repositories",
	"Repositories with replicas of which neither contains the other: both are kept until accept-dataloss says which one counts.",
	[]string{"virtual_storage"}, nil)

// ledgerCollector counts the entries of the ledger, in the view of the moment. A
// scrape costs the same however many entries there are.
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
		gauge := func(desc *prometheus.Desc, n int, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), labels...)
		}
		gauge(unavailableDesc, view.Unavailable(vs.Name), vs.Name)
		gauge(inDoubtDesc, view.Count(vs.Name, (*state.Entry).HasDoubt), vs.Name)
		gauge(conflictDesc, view.InConflict(vs.Name), vs.Name)
		for j := range vs.Succession {
			name := vs.Succession[j].Name
			gauge(behindDesc, view.Behind(vs.Name, name), vs.Name, name)
		}
	}
}
