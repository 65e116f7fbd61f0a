package replicator

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"praefect/replicator/queue"
)

// The changes that a repair makes to a replica, by upstream's names.
const (
	changeUpdate = "update"
	changeDelete = "delete_replica"
)

// Metrics are the collectors of the replicator. No collector asks the queue or
// a storage when it is scraped.
type Metrics struct {
	delay      *prometheus.HistogramVec
	latency    *prometheus.HistogramVec
	jobs       *prometheus.GaugeVec
	ended      *prometheus.CounterVec
	scheduling prometheus.Histogram
	available  prometheus.Gauge
	dropped    prometheus.Counter
	// uncatalogued counts the repositories that the next comparison of the catalogue has to find.
	uncatalogued prometheus.Counter
	resolved     prometheus.Counter
	pauses       prometheus.Counter
	wishes       prometheus.Counter
	backfilled   *prometheus.GaugeVec
	// unlike counts copies that reported success and left a difference, advanced the
	// repositories of which a primary got another storage's replica.
	unlike, advanced *prometheus.CounterVec
	// waiting counts the repositories whose repair waits, by reason.
	waiting   *prometheus.GaugeVec
	verifying verifierMetrics
	// housekept counts the housekeeping that repairs asked for, turnedAway the repairs
	// that found no room at a storage, stalled the copies that showed no progress.
	housekept, turnedAway, stalled *prometheus.CounterVec
	// remade counts the replicas that were removed to be copied from nothing, steppedDown
	// the primaries that took no writes and gave their place to another storage.
	remade, steppedDown *prometheus.CounterVec

	mu     sync.Mutex
	depths []queue.Depth // as last seen; guarded by mu
}

// NewMetrics registers the collectors with reg, the ones of the replicated state over
// ledger.
func NewMetrics(reg prometheus.Registerer, ledger Ledger) *Metrics {
	auto := promauto.With(reg)
	seconds := []float64{0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1500}
	histogram := func(name, help string) *prometheus.HistogramVec {
		return auto.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, []string{"type"})
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return auto.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	count := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	counts := func(name, help string, labels ...string) *prometheus.CounterVec {
		return auto.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		delay: histogram("gitaly_praefect_replication_delay",
			"Seconds that replication jobs waited after they were due."),
		latency: histogram("gitaly_praefect_replication_latency",
			"Seconds that replication jobs ran."),
		jobs: gauge("gitaly_praefect_replication_jobs",
			"Replicas being changed by a repair now.", "virtual_storage", "gitaly_storage", "change_type"),
		ended: counts("praefect_replication_attempts_total",
			"Attempts at replication jobs, by how they ended.", "virtual_storage", "outcome"),
		scheduling: auto.NewHistogram(prometheus.HistogramOpts{
			Name: "gitaly_praefect_reconciliation_scheduling_seconds", Buckets: seconds,
			Help: "Seconds that one search for repositories without a job took.",
		}),
		available: auto.NewGauge(prometheus.GaugeOpts{
			Name: "praefect_replication_queue_available",
			Help: "1 while the replication queue answers.",
		}),
		dropped: count("praefect_replication_enqueue_dropped_total",
			"Repositories left to the reconciler because too many waited for the queue."),
		uncatalogued: count("praefect_catalogue_dropped_total",
			"Created or removed repositories that did not reach the catalogue in Postgres; it is compared with the storages later."),
		resolved: count("praefect_doubts_resolved_total",
			"Resolutions of in-doubt intents by comparing replicas."),
		pauses: count("praefect_repair_pauses_total",
			"Repairs for which the writes of a busy repository waited."),
		wishes: count("praefect_repair_wishes_total",
			"Repairs for which the other instances were asked to have their writes of the repository wait."),
		backfilled: gauge("praefect_backfill_repositories",
			"Repositories of the scan that backfills storages, by state.", "virtual_storage", "state"),
		unlike: counts("praefect_copies_unlike_total",
			"Copies that reported success and left the replica different from its source.", "virtual_storage", "gitaly_storage"),
		advanced: counts("praefect_advanced_repositories_total",
			"Repositories that were copied onto the primary from a storage that was ahead when the cluster began.", "virtual_storage", "source"),
		housekept: counts("praefect_repair_housekeeping_total",
			"Replicas onto which a copy had failed and of which the storage was asked for housekeeping.", "virtual_storage", "gitaly_storage"),
		waiting: gauge("praefect_repairs_waiting",
			"Listed repositories with a waiting repair, by reason, as this instance knows it.", "virtual_storage", "reason"),
		steppedDown: counts("praefect_primaries_stepped_down_total",
			"Repositories of which the primary took no writes and the next in-sync storage became the primary.", "virtual_storage", "gitaly_storage"),
		remade: counts("praefect_replicas_remade_total",
			"Replicas onto which copies failed and that were removed to be copied from nothing.", "virtual_storage", "gitaly_storage"),
		turnedAway: counts("praefect_repair_turned_away_total",
			"Repairs put off because enough others copied onto the storage.", "virtual_storage", "gitaly_storage"),
		stalled: counts("praefect_copies_stalled_total",
			"Copies that were ended because the replica on the storage showed no progress.", "virtual_storage", "gitaly_storage"),
		verifying: newVerifierMetrics(auto),
	}
	reg.MustRegister(&depthCollector{m}, &ledgerCollector{ledger})
	return m
}

// change counts a replica as being changed until the function that it returns
// is called.
func (m *Metrics) change(virtualStorage, storage, change string) (done func()) {
	gauge := m.jobs.WithLabelValues(virtualStorage, storage, change)
	gauge.Inc()
	return gauge.Dec
}

// setDepths replaces the depths of the queue that scrapes see.
func (m *Metrics) setDepths(depths []queue.Depth) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.depths = depths
}

var depthDesc = prometheus.NewDesc("gitaly_praefect_replication_queue_depth",
	"Replication jobs, as counted a short while ago; counting stops at some thousands. One job repairs every storage, so target_node is empty.",
	[]string{"virtual_storage", "target_node", "state"}, nil)

// depthCollector shows the jobs as they were last counted.
type depthCollector struct{ metrics *Metrics }

// Describe implements prometheus.Collector.
func (c *depthCollector) Describe(ch chan<- *prometheus.Desc) { ch <- depthDesc }

// Collect implements prometheus.Collector.
func (c *depthCollector) Collect(ch chan<- prometheus.Metric) {
	c.metrics.mu.Lock()
	defer c.metrics.mu.Unlock()
	for _, d := range c.metrics.depths {
		ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(d.Count), d.VirtualStorage, "", string(d.State))
	}
}
