package storage

import "github.com/prometheus/client_golang/prometheus"

// Metrics are the collectors of this package.
type Metrics struct {
	latency   *prometheus.HistogramVec
	healthy   *prometheus.GaugeVec
	reachable *prometheus.GaugeVec
	changes   *prometheus.CounterVec
	info      *prometheus.GaugeVec
}

// NewMetrics registers the collectors.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	labels := []string{"virtual_storage", "gitaly_storage"}
	m := &Metrics{
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "gitaly_praefect_node_latency",
			Help:    "Time that a storage took to answer a health check, in seconds.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
		}, labels),
		healthy: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gitaly_praefect_node_last_healthcheck_up",
			Help: "1 if the last health check of a storage was answered well and in time, else 0.",
		}, labels),
		reachable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "praefect_storage_reachable",
			Help: "1 while there is a verified connection to a storage, else 0.",
		}, labels),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "praefect_storage_connection_changes_total",
			Help: "Connections to a storage that were made (event=\"made\") or lost (event=\"lost\").",
		}, append(labels[:2:2], "event")),
	}
	m.info = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "praefect_storage_info",
		Help: "Always 1; the labels are the versions of Gitaly and git on a storage, as of the last connection.",
	}, append(labels[:2:2], "version", "git_version"))
	reg.MustRegister(m.latency, m.healthy, m.reachable, m.changes, m.info)
	return m
}

// storageMetrics are the series of one storage.
type storageMetrics struct {
	latency            prometheus.Observer
	healthy, reachable prometheus.Gauge
	made, lost         prometheus.Counter
	// runs notes the versions that a storage runs, in the place of the versions it ran before.
	runs func(version, gitVersion string)
}

func (m *Metrics) of(t Target) storageMetrics {
	return storageMetrics{
		latency:   m.latency.WithLabelValues(t.VirtualStorage, t.Storage),
		healthy:   m.healthy.WithLabelValues(t.VirtualStorage, t.Storage),
		reachable: m.reachable.WithLabelValues(t.VirtualStorage, t.Storage),
		made:      m.changes.WithLabelValues(t.VirtualStorage, t.Storage, "made"),
		lost:      m.changes.WithLabelValues(t.VirtualStorage, t.Storage, "lost"),
		runs: func(version, gitVersion string) {
			m.info.DeletePartialMatch(prometheus.Labels{"virtual_storage": t.VirtualStorage, "gitaly_storage": t.Storage})
			m.info.WithLabelValues(t.VirtualStorage, t.Storage, version, gitVersion).Set(1)
		},
	}
}

func gaugeValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
