package proxy

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// FailingPrimary is a storage that fails writes of repositories whose primary it is,
// although other storages could do them.
type FailingPrimary struct {
	VirtualStorage, Storage string
	// Repositories is of how many repositories it has failed a write within the last ten
	// minutes and done none since, as far as this instance knows. They were three writes
	// at least.
	Repositories int
}

// FailingPrimaries returns the storages that fail writes now, in order of their names.
func (s *Server) FailingPrimaries() []FailingPrimary {
	var list []FailingPrimary
	for storage, n := range s.failing.count(time.Now()) {
		list = append(list, FailingPrimary{storage[0], storage[1], n})
	}
	slices.SortFunc(list, func(a, b FailingPrimary) int {
		return cmp.Or(cmp.Compare(a.VirtualStorage, b.VirtualStorage), cmp.Compare(a.Storage, b.Storage))
	})
	return list
}

var failingDesc = prometheus.NewDesc("praefect_primary_failing_repositories",
	"Repositories of which the storage, as the primary, has failed a write within the last 10 minutes that another storage voted for, and done none since; 0 below three such writes.",
	[]string{"virtual_storage", "gitaly_storage"}, nil)

// failingCollector counts the repositories whose primaries fail writes when it is asked.
type failingCollector struct{ server *Server }

// Describe implements prometheus.Collector.
func (c failingCollector) Describe(ch chan<- *prometheus.Desc) { ch <- failingDesc }

// Collect implements prometheus.Collector.
func (c failingCollector) Collect(ch chan<- prometheus.Metric) {
	n := c.server.failing.count(time.Now())
	view := c.server.node.View()
	for i := range view.VirtualStorages {
		vs := &view.VirtualStorages[i]
		for _, st := range vs.Succession {
			ch <- prometheus.MustNewConstMetric(failingDesc, prometheus.GaugeValue, float64(n[[2]string{vs.Name, st.Name}]), vs.Name, st.Name)
		}
	}
}
