package replicator

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"praefect/replicator/queue"
)

// verifierMetrics are the metrics of the verification, by upstream's names.
type verifierMetrics struct {
	begun, ended *prometheus.CounterVec
	waiting      *prometheus.GaugeVec
}

func newVerifierMetrics(auto promauto.Factory) verifierMetrics {
	auto.NewCounter(prometheus.CounterOpts{
		Name: "gitaly_praefect_stale_verification_leases_released_total",
		Help: "Always 0: the leader alone verifies, without leases. It is there for dashboards made for upstream.",
	})
	return verifierMetrics{
		begun: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_verification_jobs_dequeued_total",
			Help: "Replicas that were looked at by a verification.",
		}, []string{"virtual_storage", "storage"}),
		ended: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "gitaly_praefect_verification_jobs_completed_total",
			Help: "Replicas that were looked at, by what was found: valid, invalid (it differs, and the ledger does not say why), or error (it could not be asked).",
		}, []string{"virtual_storage", "storage", "result"}),
		waiting: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "gitaly_praefect_verification_queue_depth",
			Help: "Repositories to verify as counted by the leader a while ago: unverified ones that somebody asked for, and expired ones. Counting stops at some thousands.",
		}, []string{"virtual_storage", "storage", "status"}),
	}
}

// running is how many repairs of a virtual storage run, as last counted.
func (m *Metrics) running(virtualStorage string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.depths {
		if d.VirtualStorage == virtualStorage && d.State == queue.InProgress {
			n += d.Count
		}
	}
	return n
}
